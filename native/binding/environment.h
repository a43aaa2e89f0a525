// What belongs to one JavaScript environment (the main thread or a worker thread): its models, its promises, its log.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../core/engine.h"
#include "../core/worker.h"
#include "napi_include.h"

namespace scorehead {

// A worker thread and, once loaded, the engine that lives on it.
struct Session {
  std::atomic<bool> cancelled{false};
  // Set on the environment's thread with the last job: the worker would drop later ones, whose promises never settled.
  bool closing = false;
  std::unique_ptr<Engine> engine;
  Worker worker;

  // Stops what runs and frees the model. Idempotent; not to be called from the worker.
  void shut_down();
  ~Session() { shut_down(); }
};

// Makes a finished job's value, on the environment's thread.
using Settle = std::function<Napi::Value(Napi::Env, const std::shared_ptr<Session>&)>;

class Environment {
 public:
  explicit Environment(Napi::Env env);

  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  // A new session, which is shut down with this environment if it is still alive then: before llama.cpp's own static
  // objects go.
  std::shared_ptr<Session> new_session();

  // Runs `job` on the session's worker; what it returns makes the promise's value. An Error thrown by the job rejects
  // the promise with its code. The promise keeps the session alive, so the job captures it as a plain pointer: a
  // reference that dies on the worker could be the last one, and a thread cannot join itself.
  Napi::Value run(Napi::Env env, std::shared_ptr<Session> session, std::function<Settle()> job);

  // Ends the running jobs and frees the models. Idempotent; new sessions can be made afterwards.
  void shut_down();

  // `callback(level, text)` receives llama.cpp's log; null stops it.
  void set_log(Napi::Env env, Napi::Value callback);

 private:
  struct Completion {
    std::shared_ptr<Session> session;
    std::function<void(Napi::Env, const std::shared_ptr<Session>&)> settle;
  };
  struct LogLine {
    const char* level;
    std::string text;
  };
  static void on_completion(Napi::Env env, Napi::Function, Environment* self, Completion* completion);
  static void on_log_line(Napi::Env env, Napi::Function callback, Environment* self, LogLine* line);
  void stop_log();

  using Completions = Napi::TypedThreadSafeFunction<Environment, Completion, on_completion>;
  using LogLines = Napi::TypedThreadSafeFunction<Environment, LogLine, on_log_line>;

  Completions completions_;
  size_t pending_ = 0;
  std::vector<std::weak_ptr<Session>> sessions_;
  LogLines log_lines_;
  int log_sink_ = 0;
};

// A JavaScript error with a `code`.
Napi::Error coded_error(Napi::Env env, const char* code, const std::string& message);

}  // namespace scorehead
