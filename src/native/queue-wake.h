#pragma once

#include <nan.h>

#include "rdkafka.h"

namespace toolkit {

/**
 * Calls a JavaScript function on the event loop when a librdkafka queue gets its first op. librdkafka's threads only send a uv_async;
 * after `Release` none of them touches it. Owns its reference to the queue.
 */
class QueueWake {
 public:
  QueueWake(rd_kafka_queue_t* queue, v8::Local<v8::Function> on_wake) : queue_(queue), async_(new uv_async_t), on_wake_(on_wake) {
    uv_async_init(Nan::GetCurrentEventLoop(), async_, OnWake);
    async_->data = this;
    // Whoever waits holds the event loop open by other means.
    uv_unref(reinterpret_cast<uv_handle_t*>(async_));
    rd_kafka_queue_cb_event_enable(queue_, OnQueueEvent, async_);
    // librdkafka tells when an empty queue gets an op: what is there already would keep it silent for ever.
    if (rd_kafka_queue_length(queue_) > 0) Send();
    node::AddEnvironmentCleanupHook(v8::Isolate::GetCurrent(), OnExit, this);
  }
  ~QueueWake() { Release(); }
  QueueWake(const QueueWake&) = delete;
  QueueWake& operator=(const QueueWake&) = delete;

  rd_kafka_queue_t* queue() const { return queue_; }

  /** Whether the wake-up holds the event loop open. */
  void Hold(bool hold) {
    if (async_ == nullptr) return;
    if (hold) uv_ref(reinterpret_cast<uv_handle_t*>(async_));
    else uv_unref(reinterpret_cast<uv_handle_t*>(async_));
  }

  /** Wakes the event loop from any thread, as an op in the queue would. */
  void Send() {
    if (async_ != nullptr) uv_async_send(async_);
  }

  void Release() {
    if (queue_ == nullptr) return;
    node::RemoveEnvironmentCleanupHook(v8::Isolate::GetCurrent(), OnExit, this);
    Detach();
  }

 private:
  void Detach() {
    // Taken under the queue's lock, so no call is under way afterwards.
    rd_kafka_queue_cb_event_enable(queue_, nullptr, nullptr);
    rd_kafka_queue_destroy(queue_);
    queue_ = nullptr;
    async_->data = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(async_), [](uv_handle_t* handle) { delete reinterpret_cast<uv_async_t*>(handle); });
    async_ = nullptr;
    // It may hold the very object that owns this.
    on_wake_.Reset();
  }

  static void OnExit(void* self) { static_cast<QueueWake*>(self)->Detach(); }

  static void OnQueueEvent(rd_kafka_t*, void* async) { uv_async_send(static_cast<uv_async_t*>(async)); }

  static void OnWake(uv_async_t* handle) {
    auto* self = static_cast<QueueWake*>(handle->data);
    if (self == nullptr) return;
    Nan::HandleScope scope;
    // Not a Nan::AsyncResource: its destructor must not run in the garbage collector, where an owner's may.
    auto* isolate = v8::Isolate::GetCurrent();
    auto context = isolate->GetCurrentContext();
    node::MakeCallback(isolate, context->Global(), self->on_wake_.GetFunction(), 0, nullptr, node::async_context{0, 0});
  }

  rd_kafka_queue_t* queue_;
  uv_async_t* async_;
  Nan::Callback on_wake_;
};

}  // namespace toolkit
