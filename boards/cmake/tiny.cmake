# The tiny build: what every program of it has in common. Libraries and C library are those of boards/prefix, by the toolchain file.
if(NOT LIMPET_PREFIX)
  message(FATAL_ERROR "LIMPET_TINY needs a toolchain file of boards/cmake: cmake --preset tiny-arm64")
endif()
set(WITH_FLEET OFF) # the operator's program is no matter of a device
set(WITH_SECCOMP OFF)
add_compile_options(-fno-asynchronous-unwind-tables -fno-unwind-tables -ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -ffile-prefix-map=${CMAKE_BINARY_DIR}=build)
add_link_options(-s -Wl,-z,noseparate-code -Wl,--build-id=none -Wl,--hash-style=gnu)
if(NOT BUILD_TESTING) # a program seen at once is smaller; some seventy test programs would take too long
  add_compile_options(-flto=1 -fno-fat-lto-objects)
  add_link_options(-flto=1 -Os)
endif()
