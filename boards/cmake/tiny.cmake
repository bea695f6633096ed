# The tiny build: what every program of it has in common. Libraries and C library are those of boards/prefix, by the toolchain file.
if(NOT LIMPET_PREFIX)
  message(FATAL_ERROR "LIMPET_TINY needs a toolchain file of boards/cmake: cmake --preset tiny-arm64")
endif()
set(WITH_FLEET OFF) # the operator's program does not run on a device
set(WITH_SECCOMP OFF)
add_compile_options(-fno-asynchronous-unwind-tables -fno-unwind-tables -ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -ffile-prefix-map=${CMAKE_BINARY_DIR}=build)
string(REPLACE "-Os" "-Oz" CMAKE_C_FLAGS_MINSIZEREL "${CMAKE_C_FLAGS_MINSIZEREL}")
add_link_options(-Wl,-z,noseparate-code -Wl,--build-id=none -Wl,--hash-style=gnu)
option(LIMPET_LTO "With LIMPET_TINY: see each program at once, which makes it smaller (not with BUILD_TESTING: it would take too long)" ON)
if(LIMPET_ARCH STREQUAL x86_64) # of GNU ld's, the only one that can, so far
  add_link_options(-Wl,-z,pack-relative-relocs)
endif()
if(LIMPET_LTO AND NOT BUILD_TESTING)
  add_compile_options(-flto=1 -fno-fat-lto-objects)
  add_link_options(-flto=1 -flto-partition=one -Oz -ffunction-sections -fdata-sections)
endif()
