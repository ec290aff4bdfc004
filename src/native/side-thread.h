#pragma once

#include <nan.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace toolkit {

/**
 * A thread for one task at a time beside the event loop. Its owner, and an environment that ends, wait for the task under way. Made after
 * what its tasks use, so that it ends before that.
 */
class SideThread {
 public:
  /** Null when the system has no thread to give. */
  static std::unique_ptr<SideThread> Start() {
    auto side = std::unique_ptr<SideThread>(new SideThread);
    const auto work = [](void* self) { static_cast<SideThread*>(self)->Work(); };
    if (uv_thread_create(&side->thread_, work, side.get()) != 0) return nullptr;
    side->runs_ = true;
    node::AddEnvironmentCleanupHook(v8::Isolate::GetCurrent(), OnExit, side.get());
    return side;
  }
  ~SideThread() {
    if (!runs_) return;
    node::RemoveEnvironmentCleanupHook(v8::Isolate::GetCurrent(), OnExit, this);
    End();
  }
  SideThread(const SideThread&) = delete;
  SideThread& operator=(const SideThread&) = delete;

  /** Begins a task; the one before is over. */
  void Run(std::function<void()> task) {
    std::lock_guard<std::mutex> lock(mutex_);
    task_ = std::move(task);
    changed_.notify_all();
  }

  /** Until the task is over. What it did is seen afterwards. */
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !task_; });
  }

 private:
  SideThread() = default;

  void Work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ends_ || task_; });
      if (!task_) return;
      lock.unlock();
      task_();
      lock.lock();
      task_ = nullptr;
      changed_.notify_all();
    }
  }

  void End() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ends_ = true;
      changed_.notify_all();
    }
    uv_thread_join(&thread_);
    runs_ = false;
  }

  static void OnExit(void* self) { static_cast<SideThread*>(self)->End(); }

  uv_thread_t thread_{};
  bool runs_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> task_;
  bool ends_ = false;
};

}  // namespace toolkit
