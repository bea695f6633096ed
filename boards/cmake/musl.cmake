# Debian's compiler for LIMPET_ARCH with musl and the libraries of boards/prefix: included by the toolchain file of each architecture.
set(CMAKE_SYSTEM_NAME Linux)
if(NOT LIMPET_PREFIX)
  execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/../prefix ${LIMPET_ARCH} OUTPUT_VARIABLE LIMPET_PREFIX
    OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "boards/prefix ${LIMPET_ARCH} failed")
  endif()
endif()
set(LIMPET_PREFIX ${LIMPET_PREFIX} CACHE PATH "Libraries of the tiny build" FORCE)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES LIMPET_PREFIX)
include(${LIMPET_PREFIX}/arch.cmake)
set(CMAKE_C_COMPILER ${LIMPET_TRIPLET}-gcc)
set(CMAKE_AR ${LIMPET_TRIPLET}-gcc-ar CACHE FILEPATH "")
set(CMAKE_RANLIB ${LIMPET_TRIPLET}-gcc-ranlib CACHE FILEPATH "")
set(CMAKE_C_FLAGS_INIT "${LIMPET_ARCH_FLAGS} -fPIE -specs ${LIMPET_PREFIX}/musl.specs")
set(CMAKE_FIND_ROOT_PATH ${LIMPET_PREFIX})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${LIMPET_PREFIX}/lib/pkgconfig)
# Archives may need each other, in any order.
set(CMAKE_C_LINK_EXECUTABLE
  "<CMAKE_C_COMPILER> <FLAGS> <CMAKE_C_LINK_FLAGS> <LINK_FLAGS> <OBJECTS> -o <TARGET> -Wl,--start-group <LINK_LIBRARIES> -Wl,--end-group")
# The decoder that CMake's own search looks for is one that we do not need.
foreach(has AUTO_DECODER EASY_ENCODER LZMA_PRESET)
  set(LIBLZMA_HAS_${has} ON CACHE INTERNAL "")
endforeach()
