#include "environment.h"

#include <algorithm>

#include "../core/error.h"
#include "../core/log.h"

namespace scorehead {

Napi::Error coded_error(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

void Session::shut_down() {
  cancelled = true;
  worker.stop();
  engine.reset();
}

Environment::Environment(Napi::Env env) {
  completions_ = Completions::New(env, "scorehead completions", 0, 1, this);
  completions_.Unref(env);
  // After the thread-safe function's own hook, so before it when the hooks run in reverse: the workers are joined
  // while they can still post. Without this a context alive at exit aborts the process on macOS.
  env.AddCleanupHook([this] { shut_down(); });
}

void Environment::shut_down() {
  stop_log();
  for (const auto& known : sessions_)
    if (const auto session = known.lock()) session->shut_down();
  sessions_.clear();
}

std::shared_ptr<Session> Environment::new_session() {
  const auto gone = [](const std::weak_ptr<Session>& known) { return known.expired(); };
  sessions_.erase(std::remove_if(sessions_.begin(), sessions_.end(), gone), sessions_.end());
  auto session = std::make_shared<Session>();
  sessions_.push_back(session);
  return session;
}

Napi::Value Environment::run(Napi::Env env, std::shared_ptr<Session> session, std::function<Settle()> job) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  Worker& worker = session->worker;
  const bool accepted = !session->closing && worker.post([this, deferred, session, job = std::move(job)]() mutable {
    auto* completion = new Completion;
    const auto reject = [&](const char* code, std::string message) {
      completion->settle = [deferred, code, message = std::move(message)](Napi::Env env, const auto&) {
        deferred.Reject(coded_error(env, code, message).Value());
      };
    };
    try {
      completion->settle = [deferred, result = job()](Napi::Env env, const std::shared_ptr<Session>& session) {
        deferred.Resolve(result(env, session));
      };
    } catch (const Error& error) {
      reject(error.code(), error.what());
    } catch (const std::bad_alloc&) {
      reject("ERR_MEMORY", "There is not enough memory for this.");
    } catch (const std::exception& error) {
      reject("ERR_INTERNAL", error.what());
    }
    job = nullptr;
    completion->session = std::move(session);
    if (completions_.NonBlockingCall(completion) != napi_ok) delete completion;
  });
  if (!accepted) {
    deferred.Reject(coded_error(env, "ERR_CLOSED", "The model is closed.").Value());
  } else if (pending_++ == 0) {
    completions_.Ref(env);  // the process stays alive while a promise is open, and only then
  }
  return deferred.Promise();
}

void Environment::on_completion(Napi::Env env, Napi::Function, Environment* self, Completion* completion) {
  // A null env: the environment ended first, and nobody is left to tell.
  const std::unique_ptr<Completion> owned(completion);
  if (static_cast<napi_env>(env) == nullptr) return;
  try {
    if (--self->pending_ == 0) self->completions_.Unref(env);
    owned->settle(env, owned->session);
  } catch (const Napi::Error&) {
    // A worker thread that is ending (process.exit, terminate) makes every call into JavaScript fail. Nothing above
    // this frame would catch the error, and the whole process would end.
  }
}

void Environment::set_log(Napi::Env env, Napi::Value callback) {
  stop_log();
  if (!callback.IsFunction()) return;
  log_lines_ = LogLines::New(env, callback.As<Napi::Function>(), "scorehead log", 0, 1, this);
  log_lines_.Unref(env);
  log_sink_ = add_log_sink([lines = log_lines_](const char* level, const std::string& text) {
    auto* line = new LogLine{level, text};
    if (lines.NonBlockingCall(line) != napi_ok) delete line;
  });
}

void Environment::stop_log() {
  if (log_sink_ == 0) return;
  remove_log_sink(log_sink_);
  log_sink_ = 0;
  log_lines_.Release();
}

void Environment::on_log_line(Napi::Env env, Napi::Function callback, Environment*, LogLine* line) {
  if (static_cast<napi_env>(env) != nullptr)
    callback.Call({Napi::String::New(env, line->level), Napi::String::New(env, line->text)});
  delete line;
}

}  // namespace scorehead
