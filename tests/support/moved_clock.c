/* Moves the wall clock of a process: preloaded, it adds the seconds in the file MOVED_CLOCK, a 64-bit integer, to each
   time since 1970. Intervals stay right: waits until such a time are moved back. Used by tests.support.moved_clock. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *seconds;
static const int64_t still = 0;

/* A wait for a monotonic time, which has not reached this in thirty years of uptime, is left as it is. */
#define IS_WALL(time) ((time)->tv_sec > 1000000000)
#define REAL(name, version) ((__typeof__(&name))dlvsym(RTLD_NEXT, #name, version))

__attribute__((constructor)) static void open_file(void) {
  const char *path = getenv("MOVED_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  seconds = mapped == MAP_FAILED ? &still : mapped;
  if (file >= 0) close(file);
}

static int64_t ahead(void) { return seconds ? *seconds : 0; }

static struct timespec moved_back(const struct timespec *time) {
  struct timespec moved = *time;
  if (IS_WALL(time)) moved.tv_sec -= ahead();
  return moved;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static __typeof__(&clock_gettime) real;
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead();
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec precise;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *now) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (now) *now = precise.tv_sec;
  return precise.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  static __typeof__(&pthread_cond_timedwait) real;
  struct timespec moved = moved_back(until);
  if (!real) real = REAL(pthread_cond_timedwait, "GLIBC_2.3.2");
  return real(condition, mutex, &moved);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
  static __typeof__(&sem_timedwait) real;
  struct timespec moved = moved_back(until);
  if (!real) real = dlsym(RTLD_NEXT, "sem_timedwait");
  return real(semaphore, &moved);
}
