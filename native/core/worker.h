// One thread with a queue. Each model has its own, so that scoring never occupies libuv's pool of four, which the
// host's file system and DNS calls share.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace scorehead {

class Worker {
 public:
  Worker();
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // False after stop(): the job will not run.
  bool post(std::function<void()> job);

  // Waits for the running job, drops the others and ends the thread. Idempotent. Not to be called from a job.
  void stop();

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace scorehead
