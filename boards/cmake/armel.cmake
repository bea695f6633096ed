set(LIMPET_ARCH armel)
set(CMAKE_SYSTEM_PROCESSOR armv6l)
include(${CMAKE_CURRENT_LIST_DIR}/musl.cmake)
