// SPDX-License-Identifier: Apache-2.0
//
// LD_PRELOAD: counts heap allocations by the library that asked for them.
//
// Each malloc, calloc, realloc, memalign and their kin counts once, for the shared object its return address
// lies in; so librdkafka's own allocations do not hide those of the program. What is asked for through a
// helper in another library (strdup, operator new, swift_slowAlloc) counts for that library.
//
// One JSON line {"allocations": N, "by": {"libfoo.so": N, …}} is appended to the file MALLOC_COUNT_FILE names
// (standard error without it) on SIGUSR2 and at exit.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OBJECTS_MAX = 256, NAME_MAX_BYTES = 64, REPORT_MAX = 32768 };

/// The program's own allocator, which may be another than the C library's.
static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void *(*next_memalign)(size_t, size_t);
static void (*next_free)(void *);

/// Serves who allocates while the allocator is being looked up: dlsym itself, and its own start.
static char early[1 << 16];
static atomic_size_t early_used;

static bool is_early(const void *pointer) {
    return (const char *)pointer >= early && (const char *)pointer < early + sizeof(early);
}

static void *early_allocate(size_t size) {
    size_t start = atomic_fetch_add(&early_used, (size + 31) & ~(size_t)15) + 16;
    if (start + size > sizeof(early)) {
        abort();
    }
    return early + start;
}

static _Thread_local bool is_looking_up;

/// Finds the allocator; false while that is under way.
static bool ready(void) {
    if (next_free) {
        return true;
    }
    if (is_looking_up) {
        return false;
    }
    is_looking_up = true;
    next_malloc = dlsym(RTLD_NEXT, "malloc");
    next_calloc = dlsym(RTLD_NEXT, "calloc");
    next_realloc = dlsym(RTLD_NEXT, "realloc");
    next_memalign = dlsym(RTLD_NEXT, "memalign");
    next_free = dlsym(RTLD_NEXT, "free");
    is_looking_up = false;
    return true;
}

struct object {
    uintptr_t start, end;
    char name[NAME_MAX_BYTES];
    atomic_ulong allocations;
};

/// The objects that were loaded at the start; object 0 stands for all later ones and for no object at all.
static struct object objects[OBJECTS_MAX] = {{.name = "other"}};
static atomic_int object_count = 1;

static int object_add(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    (void)context;
    int index = atomic_load(&object_count);
    for (int header = 0; header < info->dlpi_phnum && index < OBJECTS_MAX; header++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[header];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X)) {
            const char *slash = strrchr(info->dlpi_name, '/');
            const char *name = info->dlpi_name[0] == '\0' ? "program" : slash ? slash + 1 : info->dlpi_name;
            objects[index].start = info->dlpi_addr + segment->p_vaddr;
            objects[index].end = objects[index].start + segment->p_memsz;
            strncpy(objects[index].name, name, NAME_MAX_BYTES - 1);
            atomic_store(&object_count, ++index);
        }
    }
    return 0;
}

static inline void count(const void *caller) {
    uintptr_t address = (uintptr_t)caller;
    int total = atomic_load_explicit(&object_count, memory_order_relaxed), found = 0;
    for (int index = 1; index < total; index++) {
        if (address >= objects[index].start && address < objects[index].end) {
            found = index;
            break;
        }
    }
    atomic_fetch_add_explicit(&objects[found].allocations, 1, memory_order_relaxed);
}

#define COUNT() count(__builtin_return_address(0))

void *malloc(size_t size) {
    COUNT();
    return ready() ? next_malloc(size) : early_allocate(size);
}

void *calloc(size_t number, size_t size) {
    COUNT();
    return ready() ? next_calloc(number, size) : early_allocate(number * size);
}

void *realloc(void *pointer, size_t size) {
    COUNT();
    if (!ready()) {
        return early_allocate(size);
    }
    if (!is_early(pointer)) {
        return next_realloc(pointer, size);
    }
    void *moved = next_malloc(size);
    if (moved) {
        size_t rest = (size_t)(early + sizeof(early) - (char *)pointer);
        memcpy(moved, pointer, size < rest ? size : rest);
    }
    return moved;
}

void free(void *pointer) {
    if (pointer && !is_early(pointer) && ready()) {
        next_free(pointer);
    }
}

void *memalign(size_t alignment, size_t size) {
    COUNT();
    return ready() ? next_memalign(alignment, size) : NULL;
}

void *aligned_alloc(size_t alignment, size_t size) {
    COUNT();
    return ready() ? next_memalign(alignment, size) : NULL;
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    COUNT();
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) {
        return EINVAL;
    }
    void *pointer = ready() ? next_memalign(alignment, size) : NULL;
    if (!pointer) {
        return ENOMEM;
    }
    *result = pointer;
    return 0;
}

/// Adds text without stdio, for a signal handler; what does not fit is left out.
static size_t add_text(char *report, size_t used, const char *text) {
    size_t length = strlen(text);
    if (used + length < REPORT_MAX) {
        memcpy(report + used, text, length);
        used += length;
    }
    return used;
}

static size_t add_number(char *report, size_t used, unsigned long value) {
    char digits[24], *at = digits + sizeof(digits) - 1;
    *at = '\0';
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return add_text(report, used, at);
}

static void write_report(void) {
    static char report[REPORT_MAX];
    unsigned long all = 0;
    int total = atomic_load(&object_count);
    for (int index = 0; index < total; index++) {
        all += atomic_load(&objects[index].allocations);
    }
    size_t used = add_text(report, 0, "{\"allocations\": ");
    used = add_number(report, used, all);
    used = add_text(report, used, ", \"by\": {");
    bool first = true;
    for (int index = 0; index < total; index++) {
        unsigned long allocations = atomic_load(&objects[index].allocations);
        if (allocations > 0) {
            used = add_text(report, used, first ? "\"" : ", \"");
            used = add_text(report, used, objects[index].name);
            used = add_text(report, used, "\": ");
            used = add_number(report, used, allocations);
            first = false;
        }
    }
    used = add_text(report, used, "}}\n");
    const char *path = getenv("MALLOC_COUNT_FILE");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : STDERR_FILENO;
    (void)!write(fd, report, used);
    if (path) {
        close(fd);
    }
}

static void report_on_signal(int number) {
    (void)number;
    write_report();
}

__attribute__((constructor)) static void start(void) {
    struct sigaction action = {.sa_handler = report_on_signal, .sa_flags = SA_RESTART};
    dl_iterate_phdr(object_add, NULL);
    sigaction(SIGUSR2, &action, NULL);
}

__attribute__((destructor)) static void end(void) {
    write_report();
}
