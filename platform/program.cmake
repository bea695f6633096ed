# Programs of the device. Each is an executable of its own, or (LIMPET_ONE_FILE) a part of a file that looks at the name it was started under:
# libc, TLS and the floors below are then in it once, and processes share their pages. There are two such files, limpet-agent and, for what
# reads images in a sandbox, limpet-decode (docs/security.md).
if(NOT LIMPET_TINY OR BUILD_TESTING)
  set(LIMPET_ONE_FILE OFF)
endif()
set(LIMPET_LIBEXEC ${CMAKE_INSTALL_FULL_LIBEXECDIR}/limpet)

# limpet_program(NAME DIRECTORY FILE...): an installed program; link it to its libraries as an executable is.
function(limpet_program name directory)
  if(NOT LIMPET_ONE_FILE)
    add_executable(${name} ${ARGN})
    if(LIMPET_TINY)
      target_link_options(${name} PRIVATE -s)
    endif()
    install(TARGETS ${name} RUNTIME DESTINATION ${directory})
    return()
  endif()
  string(REPLACE "-" "_" symbol ${name})
  add_library(${name} OBJECT ${ARGN})
  target_compile_definitions(${name} PRIVATE main=main_${symbol})
  target_compile_options(${name} PRIVATE -Wno-missing-prototypes) # of that main alone: the other builds see the rest
  set_property(TARGET ${name} PROPERTY limpet_directory ${CMAKE_INSTALL_PREFIX}/${directory})
endfunction()

# limpet_one_file(FILE PROGRAM...)
function(limpet_one_file file)
  if(NOT LIMPET_ONE_FILE)
    return()
  endif()
  add_executable(${file} ${CMAKE_SOURCE_DIR}/boards/cmake/one_main.c)
  target_link_options(${file} PRIVATE -Wl,-T,${CMAKE_SOURCE_DIR}/boards/cmake/resting.ld)
  set_target_properties(${file} PROPERTIES LINK_DEPENDS ${CMAKE_SOURCE_DIR}/boards/cmake/resting.ld)
  add_custom_command(TARGET ${file} POST_BUILD # the symbols: for tests/bench/footprint, and for whoever reads a crash
    COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:${file}> ${CMAKE_BINARY_DIR}/${file}.symbols
    COMMAND ${CMAKE_STRIP} $<TARGET_FILE:${file}>)
  install(TARGETS ${file} RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/limpet)
  foreach(name ${ARGN})
    get_target_property(directory ${name} limpet_directory)
    string(REPLACE "-" "_" symbol ${name})
    string(APPEND lines "PROGRAM(\"${name}\", main_${symbol})\n")
    target_link_libraries(${file} PRIVATE ${name})
    file(RELATIVE_PATH to ${directory} ${LIMPET_LIBEXEC}/${file})
    install(CODE "file(MAKE_DIRECTORY \"\$ENV{DESTDIR}${directory}\")
      file(CREATE_LINK ${to} \"\$ENV{DESTDIR}${directory}/${name}\" SYMBOLIC)")
    add_custom_command(TARGET ${file} POST_BUILD # beside it, as tests and the quickstart start them
      COMMAND ${CMAKE_COMMAND} -E create_symlink ${file} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/${name})
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${file}/one_programs.inc CONTENT "${lines}")
  target_include_directories(${file} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${file})
endfunction()
