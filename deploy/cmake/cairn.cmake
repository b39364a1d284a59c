# What the CMakeLists.txt of every folder is written in:
#
#   cairn_library(NAME LIBS …)                       all *.c of a folder and below as cairn_NAME
#   cairn_service(NAME PROGRAM p CORE … LIBS …)      one process: NAME_core (pure) and the program, once main.c is there
#   cairn_test(NAME SOURCES … LIBS … )               Criterion program test_NAME.c and exactly these product sources
#   cairn_fuzz(NAME SOURCES … LIBS …)                libFuzzer program fuzz_NAME.c and exactly these product sources
#   cairn_scripts(SUITE)                             each test_*.sh and test_*.py of the folder as a test
#
# The target suite_NAME builds the compiled tests of a folder, and what they need.
#
# SOURCES are paths from the top of the repository. Every product source is compiled once, as an object library
# of its own, and linked from there into libraries, programs and tests: a test's link line stays exact and cheap.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
    set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Werror -fno-common -fstack-protector-strong)
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
    # snprintf is how text is cut to size here, and what gcc guesses about it changes with every inlining.
    add_compile_options(-Wno-format-truncation)
endif()
# "base/…", "pure/…", "shell/…" · "proto/…", "tests/…" · "store/…", "merge/…"
include_directories(${CMAKE_SOURCE_DIR}/common ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/services)

if(CAIRN_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
        message(FATAL_ERROR "CAIRN_FUZZ needs clang: add -DCMAKE_C_COMPILER=clang-14")
    endif()
    add_compile_options(-O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined
        -fno-sanitize-recover=all)
elseif(CAIRN_SANITIZE)
    add_compile_options(-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined
        -fno-sanitize-recover=all)
    add_link_options(-fsanitize=address,undefined)
    if(CMAKE_C_COMPILER_ID STREQUAL GNU)
        # As a shared library next to ASan's, gcc's UBSan forgets log_path, and a service's report would be lost.
        add_link_options(-static-libasan -static-libubsan)
    endif()
elseif(CAIRN_COVERAGE)
    add_compile_options(-O0 -g --coverage)
    add_link_options(--coverage)
elseif(CMAKE_BUILD_TYPE STREQUAL Release)
    add_compile_options(-D_FORTIFY_SOURCE=2)
endif()

# Turns paths from the top of the repository into $<TARGET_OBJECTS:…>. Pure code is compiled as plain C17;
# everything else may use what glibc offers. AS name DEFINE …: compiled once more, with these definitions.
function(cairn_objects result)
    cmake_parse_arguments(arg "PURE" "AS" "FILES;DEFINE" ${ARGN})
    if(NOT arg_AS)
        set(arg_AS obj)
    endif()
    set(objects "")
    foreach(file IN LISTS arg_FILES)
        string(MAKE_C_IDENTIFIER "${arg_AS}_${file}" target)
        if(NOT TARGET ${target})
            add_library(${target} OBJECT EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/${file})
            target_compile_definitions(${target} PRIVATE ${arg_DEFINE})
            if(arg_DEFINE)
                set_target_properties(${target} PROPERTIES EXPORT_COMPILE_COMMANDS OFF) # one entry per file
            endif()
            target_compile_options(${target} PRIVATE
                "SHELL:-include ${CMAKE_SOURCE_DIR}/common/base/banned.h")
            if(NOT arg_PURE AND NOT file MATCHES "^(common/base|common/pure|proto)/|_core[^/]*\\.c$")
                target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
            endif()
        endif()
        list(APPEND objects $<TARGET_OBJECTS:${target}>)
    endforeach()
    set(${result} ${objects} PARENT_SCOPE)
endfunction()

# Files of the current folder that match the patterns, as paths from the top of the repository.
function(cairn_glob result)
    list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    file(GLOB_RECURSE found CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ${ARGN})
    set(${result} ${found} PARENT_SCOPE)
endfunction()

# Everything a node needs and nothing that a test needs.
add_custom_target(programs)

function(cairn_archive target files)
    cmake_parse_arguments(arg "" "" "LIBS" ${ARGN})
    if(files)
        cairn_objects(objects FILES ${files})
        add_library(${target} STATIC ${objects})
        target_link_libraries(${target} PUBLIC ${arg_LIBS})
    else()
        add_library(${target} INTERFACE)
        target_link_libraries(${target} INTERFACE ${arg_LIBS})
    endif()
endfunction()

function(cairn_library name)
    cairn_glob(files *.c)
    cairn_archive(cairn_${name} "${files}" ${ARGN})
endfunction()

# CORE: patterns of the pure files; *_core*.c always belongs to them.
function(cairn_service name)
    cmake_parse_arguments(arg "" "PROGRAM" "CORE;LIBS" ${ARGN})
    cairn_glob(all *.c)
    cairn_glob(core *_core*.c ${arg_CORE})
    list(REMOVE_DUPLICATES core)
    cairn_objects(unused PURE FILES ${core})
    cairn_archive(${name}_core "${core}" LIBS cairn_pure)
    if(CAIRN_FUZZ OR NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/main.c)
        return()
    endif()
    set(shell ${all})
    if(core)
        list(REMOVE_ITEM shell ${core})
    endif()
    cairn_objects(objects FILES ${shell})
    add_executable(${arg_PROGRAM} ${objects})
    add_dependencies(programs ${arg_PROGRAM})
    target_link_libraries(${arg_PROGRAM} PRIVATE ${name}_core cairn_shell ${arg_LIBS})
    install(TARGETS ${arg_PROGRAM} RUNTIME DESTINATION bin)
endfunction()

# False (after a warning, or an error when strict) if a test names files that do not exist.
function(cairn_sources_exist result name)
    set(${result} TRUE PARENT_SCOPE)
    foreach(file IN LISTS ARGN)
        if(NOT EXISTS ${CMAKE_SOURCE_DIR}/${file})
            if(CAIRN_STRICT)
                message(FATAL_ERROR "test ${name}: there is no ${file}")
            endif()
            message(WARNING "test ${name} left out: there is no ${file}")
            set(${result} FALSE PARENT_SCOPE)
        endif()
    endforeach()
endfunction()

# Registers a command under the suite named like the current folder, wrapped in tests/one, which adds the time
# limit, the check for sanitizer reports and the counting.
function(cairn_add_test name seconds)
    get_filename_component(suite ${CMAKE_CURRENT_SOURCE_DIR} NAME)
    add_test(NAME ${suite}/${name}
        COMMAND ${CMAKE_SOURCE_DIR}/tests/one ${suite}/${name} ${seconds} ${ARGN})
    math(EXPR backstop "${seconds} * 10 + 60") # tests/one is the one that stops it
    # What may take longest begins first.
    set_tests_properties(${suite}/${name} PROPERTIES LABELS ${suite} SKIP_RETURN_CODE 77 COST ${seconds}
        TIMEOUT ${backstop} ENVIRONMENT
        "CAIRN_SOURCE=${CMAKE_SOURCE_DIR};CAIRN_BUILD=${CMAKE_BINARY_DIR};CAIRN_BIN=${CMAKE_BINARY_DIR}/bin")
endfunction()

# ARGS: options for the program. PLAIN: not Criterion, has its own main(). SECONDS: its time limit (60).
# With LIBS a test may link whole libraries (cairn_shell), where exact sources would prove nothing.
function(cairn_test name)
    cmake_parse_arguments(arg "PLAIN" "SECONDS" "SOURCES;LIBS;ARGS" ${ARGN})
    if(CAIRN_FUZZ)
        return()
    endif()
    file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
    cairn_sources_exist(complete ${name} ${folder}/test_${name}.c ${arg_SOURCES})
    if(NOT complete)
        return()
    endif()
    set(own "")
    set(product "")
    foreach(file IN LISTS arg_SOURCES)
        if(file MATCHES "^tests/")
            list(APPEND own ${CMAKE_SOURCE_DIR}/${file})
        else()
            list(APPEND product ${file})
        endif()
    endforeach()
    cairn_objects(objects FILES ${product})
    string(REPLACE / _ target ${folder}_${name})
    string(REPLACE tests_ test_ target ${target})
    add_executable(${target} test_${name}.c ${own} ${objects})
    get_filename_component(suite ${CMAKE_CURRENT_SOURCE_DIR} NAME)
    if(NOT TARGET suite_${suite})
        add_custom_target(suite_${suite})
    endif()
    add_dependencies(suite_${suite} ${target})
    target_compile_definitions(${target} PRIVATE _GNU_SOURCE
        CAIRN_SOURCE_DIR="${CMAKE_SOURCE_DIR}" CAIRN_BUILD_DIR="${CMAKE_BINARY_DIR}")
    target_link_libraries(${target} PRIVATE ${arg_LIBS})
    if(NOT arg_SECONDS)
        set(arg_SECONDS 60)
    endif()
    if(arg_PLAIN)
        cairn_add_test(${name} ${arg_SECONDS} $<TARGET_FILE:${target}> ${arg_ARGS})
    else()
        target_link_libraries(${target} PRIVATE criterion)
        cairn_add_test(${name} ${arg_SECONDS} $<TARGET_FILE:${target}> -j1 ${arg_ARGS})
    endif()
endfunction()

function(cairn_fuzz name)
    cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
    if(NOT CAIRN_FUZZ)
        return()
    endif()
    cairn_sources_exist(complete ${name} tests/fuzz/fuzz_${name}.c ${arg_SOURCES})
    if(NOT complete)
        return()
    endif()
    cairn_objects(objects FILES ${arg_SOURCES})
    add_executable(fuzz_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_${name}.c ${objects})
    # The entry point LLVMFuzzerTestOneInput has no header that declares it.
    target_compile_options(fuzz_${name} PRIVATE -Wno-missing-prototypes)
    target_link_libraries(fuzz_${name} PRIVATE -fsanitize=fuzzer,address,undefined ${arg_LIBS})
endfunction()

# A script is a test: exit 0 passed, 77 skipped (its last line says why), anything else failed. It finds
# CAIRN_SOURCE, CAIRN_BUILD and CAIRN_BIN in its environment. A line "# seconds: N" raises its limit of 240,
# which is far more than any needs alone: they run beside each other.
function(cairn_scripts)
    if(CAIRN_FUZZ OR CAIRN_COVERAGE)
        return()
    endif()
    file(GLOB scripts CONFIGURE_DEPENDS test_*.sh test_*.py)
    foreach(script IN LISTS scripts)
        get_filename_component(name ${script} NAME_WE)
        string(REPLACE test_ "" name ${name})
        set(seconds 240)
        file(STRINGS ${script} limit REGEX "^# seconds: [0-9]+")
        if(limit)
            string(REGEX REPLACE "[^0-9]*([0-9]+).*" "\\1" seconds "${limit}")
        endif()
        if(script MATCHES "py$")
            cairn_add_test(${name} ${seconds} python3 ${script})
        else()
            cairn_add_test(${name} ${seconds} bash ${script})
        endif()
    endforeach()
endfunction()
