# What a static build needs beyond the sources: cJSON's, and the kernel's headers where the C library's compiler has none (Debian's musl-gcc).
if(NOT LIMPET_CJSON_DIR)
  set(LIMPET_CJSON_DIR ${CMAKE_BINARY_DIR}/source/cjson)
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/boards/sources unpack ${CMAKE_BINARY_DIR}/source cjson RESULT_VARIABLE failed ERROR_VARIABLE why)
  if(failed)
    message(FATAL_ERROR "cJSON: ${why}")
  endif()
endif()
if(NOT EXISTS ${LIMPET_CJSON_DIR}/cJSON.c)
  message(FATAL_ERROR "LIMPET_CJSON_DIR: no cJSON.c in ${LIMPET_CJSON_DIR}")
endif()
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cjson-include/cjson)
file(COPY ${LIMPET_CJSON_DIR}/cJSON.h DESTINATION ${CMAKE_BINARY_DIR}/cjson-include/cjson)

include(CheckIncludeFile)
check_include_file(linux/openat2.h LIMPET_KERNEL_HEADERS)
if(NOT LIMPET_KERNEL_HEADERS)
  execute_process(COMMAND cc -print-multiarch OUTPUT_VARIABLE multiarch OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(kernel ${CMAKE_BINARY_DIR}/kernel-include) # these directories alone: the rest of /usr/include is another C library's
  file(MAKE_DIRECTORY ${kernel})
  file(CREATE_LINK /usr/include/linux ${kernel}/linux SYMBOLIC)
  file(CREATE_LINK /usr/include/asm-generic ${kernel}/asm-generic SYMBOLIC)
  file(CREATE_LINK /usr/include/${multiarch}/asm ${kernel}/asm SYMBOLIC)
  string(APPEND CMAKE_C_FLAGS " -isystem ${kernel}") # not by target: seccomp_gen.sh asks the compiler too
endif()
string(REPLACE "-Os" "-Oz" CMAKE_C_FLAGS_MINSIZEREL "${CMAKE_C_FLAGS_MINSIZEREL}") # smaller still, where it counts most
add_link_options(-static -s -Wl,--build-id=none)
add_compile_options(-fno-asynchronous-unwind-tables -fno-unwind-tables) # nobody unwinds it

# The whole program seen at once is some 8 KB smaller. Objects are whole without it too: an ar or ld that cannot goes on as ever.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-flto=auto -ffat-lto-objects -fno-caller-saves -fno-move-loop-invariants)
endif()
