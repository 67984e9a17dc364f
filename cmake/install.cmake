# What is installed: both libraries, the headers, the CMake package and the pkg-config files. All of them find each other
# by relative paths, so the prefix may be moved.
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/bmemc")
set(pc_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

install(TARGETS bmemc bmemc_cpp EXPORT bmemc-targets)
install(FILES "${archive}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES include/bmemc.h bindings/c/bmemc_easy.h bindings/cpp/bmemc.hpp DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY bindings/cpp/bmemc DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp")

configure_package_config_file(cmake/bmemc-config.cmake.in bmemc-config.cmake
    INSTALL_DESTINATION "${package_dir}"
    PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(bmemc-config-version.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT bmemc-targets NAMESPACE bmemc:: DESTINATION "${package_dir}")
install(FILES
    "${CMAKE_CURRENT_BINARY_DIR}/bmemc-config.cmake"
    "${CMAKE_CURRENT_BINARY_DIR}/bmemc-config-version.cmake"
    DESTINATION "${package_dir}")

# The prefix as seen from the .pc file, where the library's folder is below it; else the folders as they were given.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
else()
    file(RELATIVE_PATH up "/prefix/${pc_dir}" /prefix)
    string(REGEX REPLACE "/$" "" up "${up}")
    set(pc_prefix "\${pcfiledir}/${up}")
endif()
cmake_path(APPEND pc_libdir "\${prefix}" "${CMAKE_INSTALL_LIBDIR}")
cmake_path(APPEND pc_includedir "\${prefix}" "${CMAKE_INSTALL_INCLUDEDIR}")
list(TRANSFORM bmemc_native_libs PREPEND -l OUTPUT_VARIABLE pc_native_libs)
list(JOIN pc_native_libs " " pc_native_libs)
foreach(pc bmemc.pc bmemc-static.pc)
    configure_file("cmake/${pc}.in" "${pc}" @ONLY)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/${pc}" DESTINATION "${pc_dir}")
endforeach()
