/* liblzma takes all its settings from the command line (boards/libs/CMakeLists.txt). */
