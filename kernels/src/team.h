// Threads that stay together for many steps: to start them for each would take longer than a step of a short text does.
#pragma once
#include <sched.h>

#include <atomic>

#include "ops.h"

namespace cpu2vec {

class Team {
 public:
  // Calls lead(threads) once, on one of `threads`. Whoever else arrives meanwhile takes parts of what it runs on them; it
  // waits for nobody to arrive.
  template <class F>
  static void run(const Threads& threads, F&& lead) {
    if (threads.count == 1) return lead(threads);
    struct Job {
      Team team;
      const Threads& threads;
      F& lead;
    } job = {{}, threads, lead};
    threads.run(
        threads.context, threads.count,
        [](void* data, size_t) {
          Job& job = *static_cast<Job*>(data);
          if (job.team.has_leader.exchange(true)) return job.team.help();
          job.lead(Threads{job.threads.count, &job.team, share});
          job.team.is_over.store(true, std::memory_order_release);
        },
        &job);
  }

 private:
  using Body = void (*)(void*, size_t);
  static constexpr int kPartBits = 16, kSpins = 2000;

  std::atomic<bool> has_leader{false}, is_over{false};
  std::atomic<uint64_t> work{0};  // how many times work was shared, its parts, and the first part that nobody has taken
  std::atomic<int> done{0};       // parts
  Body body = nullptr;
  void* data = nullptr;

  static void share(void* self, int parts, Body body, void* data) {
    Team& team = *static_cast<Team*>(self);
    team.body = body, team.data = data;
    team.done.store(0, std::memory_order_relaxed);
    const uint64_t times = (team.work.load(std::memory_order_relaxed) >> 2 * kPartBits) + 1;
    team.work.store((times << kPartBits | (uint64_t)parts) << kPartBits, std::memory_order_release);
    while (team.take_part()) continue;
    for (int spins = 0; team.done.load(std::memory_order_acquire) < parts; ++spins) pause(spins);
  }

  void help() {
    for (int spins = 0; !is_over.load(std::memory_order_acquire); ++spins)
      if (take_part())
        spins = 0;
      else
        pause(spins);
  }

  // Takes a part that nobody has taken, and runs it. What it is cannot change before that is done.
  bool take_part() {
    constexpr uint64_t kParts = (1 << kPartBits) - 1;
    uint64_t now = work.load(std::memory_order_acquire);
    while ((now & kParts) < (now >> kPartBits & kParts))
      if (work.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
        body(data, now & kParts);
        done.fetch_add(1, std::memory_order_release);
        return true;
      }
    return false;
  }

  // Where threads outnumber cores, somebody else needs this one.
  static void pause(int spins) {
    if (spins >= kSpins) sched_yield();
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
};

}  // namespace cpu2vec
