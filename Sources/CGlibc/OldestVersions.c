/* Binds the library of the Python package to the oldest version of each symbol of glibc, so that one wheel runs from
   glibc 2.27 on: RHEL 8, Ubuntu 18.04 and Debian 10 have 2.27 or 2.28. A linker alone takes the newest version that the
   building machine has. setup.py wraps the names listed here: a call of dlopen goes to __wrap_dlopen, which jumps to
   dlopen@GLIBC_2.2.5. Code and results are those of the newest version: old ones differ in where glibc keeps them
   (2.34 merged libpthread and libdl into libc), or in how errors are told in errno, which nothing here reads. */

#if defined(__linux__) && defined(__x86_64__)

#include <stddef.h>

/* A jump, not a call: dlopen and dlsym look at who calls them. */
#define BIND(name, version)                                                                                            \
    __asm__(".symver oldest_" #name ", " #name "@GLIBC_" version "\n"                                                 \
            ".text\n"                                                                                                  \
            ".globl __wrap_" #name "\n"                                                                                \
            ".type __wrap_" #name ", @function\n"                                                                      \
            "__wrap_" #name ":\n"                                                                                      \
            "    jmp *oldest_" #name "@GOTPCREL(%rip)\n"                                                               \
            ".size __wrap_" #name ", . - __wrap_" #name "\n")

/* 2.35 */
BIND(hypot, "2.2.5");
BIND(hypotf, "2.2.5");
/* 2.34: in libdl and libpthread until then */
BIND(dladdr, "2.2.5");
BIND(dlclose, "2.2.5");
BIND(dlerror, "2.2.5");
BIND(dlopen, "2.2.5");
BIND(dlsym, "2.2.5");
BIND(pthread_attr_getstack, "2.2.5");
BIND(pthread_create, "2.2.5");
BIND(pthread_key_create, "2.2.5");
BIND(pthread_kill, "2.2.5");
BIND(pthread_mutexattr_destroy, "2.2.5");
BIND(pthread_mutexattr_init, "2.2.5");
BIND(pthread_mutexattr_settype, "2.2.5");
BIND(pthread_setname_np, "2.12");
BIND(pthread_setspecific, "2.2.5");
BIND(sem_destroy, "2.2.5");
BIND(sem_init, "2.2.5");
BIND(sem_open, "2.2.5");
BIND(sem_post, "2.2.5");
BIND(sem_timedwait, "2.2.5");
BIND(sem_wait, "2.2.5");
/* 2.32 */
BIND(pthread_getaffinity_np, "2.3.4");
BIND(pthread_getattr_np, "2.2.5");
BIND(pthread_sigmask, "2.2.5");
/* 2.29 */
BIND(exp, "2.2.5");
BIND(exp2, "2.2.5");
BIND(log, "2.2.5");
BIND(log2, "2.2.5");
BIND(pow, "2.2.5");

/* stat and its like are functions since 2.33; before that the header called these, with the structure's version. */
enum { statVersion = 1 };

int oldest_xstat(int version, const char *path, void *found);
int oldest_lxstat(int version, const char *path, void *found);
int oldest_fxstat(int version, int file, void *found);
__asm__(".symver oldest_xstat, __xstat@GLIBC_2.2.5\n"
        ".symver oldest_lxstat, __lxstat@GLIBC_2.2.5\n"
        ".symver oldest_fxstat, __fxstat@GLIBC_2.2.5\n");

int __wrap_stat(const char *path, void *found) { return oldest_xstat(statVersion, path, found); }
int __wrap_lstat(const char *path, void *found) { return oldest_lxstat(statVersion, path, found); }
int __wrap_fstat(int file, void *found) { return oldest_fxstat(statVersion, file, found); }

/* std::__throw_bad_array_new_length, of GCC 11's C++ library; what it throws is a kind of bad_alloc. */
void throwBadAllocation(void) __asm__("_ZSt17__throw_bad_allocv");
void __wrap__ZSt28__throw_bad_array_new_lengthv(void) { throwBadAllocation(); }

#endif
