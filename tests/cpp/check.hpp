// check.hpp: what the C++ tests share. A test EXPECTs; `run` runs it and prints "ok NAME" or what went wrong; `finish`
// prints the last line and says how main ends.
#ifndef CHECK_HPP
#define CHECK_HPP

#include <bmemc.hpp>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <unistd.h>

inline int passed, failed, complaints;

#define EXPECT(...) \
    do { \
        if (!(__VA_ARGS__)) { \
            complaints++; \
            std::cout << "  " << __FILE__ << ":" << __LINE__ << ": " << #__VA_ARGS__ << "\n"; \
        } \
    } while (0)

// The value of a result that must have one; the program ends where it has none, since what follows would be meaningless.
template <class T> T must(bmemc::result<T> result, const char *what = "a call") {
    if (!result) {
        std::cout << "  " << what << " failed: " << to_string(result.error().code()) << ": " << result.error().message() << "\n";
        std::exit(1);
    }
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// Whether a call failed with this status and with this word in its message.
template <class T> bool refused(const bmemc::result<T> &result, bmemc::status code, std::string_view word) {
    if (!result && result.error().code() == code && result.error().message().find(word) != std::string::npos) return true;
    std::cout << "  " << (result ? "it did not fail" : result.error().message()) << "\n";
    return false;
}

inline void run(const char *name, void (*test)()) {
    complaints = 0;
    test();
    (complaints ? failed : passed)++;
    std::cout << (complaints ? "FAILED " : "ok ") << name << std::endl;
}

#define RUN(test) run(#test, test)

inline int finish() {
    std::cout << passed << " passed, " << failed << " failed, 0 skipped\n";
    return failed != 0;
}

// A key of this process, so that tests that share a server do not meet.
inline std::string key(const std::string &name) {
    return "bmemc-test:" + std::to_string(getpid()) + ":" + name;
}

#endif
