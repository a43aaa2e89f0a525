#include "worker.h"

namespace scorehead {

Worker::Worker() : thread_([this] { loop(); }) {}
Worker::~Worker() { stop(); }

bool Worker::post(std::function<void()> job) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) return false;
  jobs_.push_back(std::move(job));
  changed_.notify_one();
  return true;
}

void Worker::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  // Not before: what a dropped job keeps alive may be the owner of this worker.
  std::deque<std::function<void()>> dropped;
  dropped.swap(jobs_);
}

void Worker::loop() {
  for (;;) {
    std::function<void()> job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace scorehead
