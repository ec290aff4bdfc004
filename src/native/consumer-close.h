#pragma once

#include <nan.h>

#include <memory>

#include "queue-wake.h"
#include "rdkafka.h"

namespace toolkit {

/**
 * Ends the group membership of a borrowed client without a thread that waits for it. node-rdkafka's `disconnect` waits on a thread of
 * libuv's pool, which Node joins when the process ends: for as long as the group's coordinator is away, until the session times out.
 */
class ConsumerClose : public Nan::ObjectWrap {
 public:
  static void Init(v8::Local<v8::Object> exports);

 private:
  ConsumerClose(rd_kafka_t* rk, v8::Local<v8::Object> client, v8::Local<v8::Function> on_wake);
  ~ConsumerClose() override;

  static NAN_METHOD(New);
  static NAN_METHOD(Serve);
  static NAN_METHOD(Quiet);
  static NAN_METHOD(Release);

  bool ServeQueue();
  void LetGo();

  rd_kafka_t* rk_;
  std::unique_ptr<QueueWake> queue_;
  Nan::Persistent<v8::Object> client_;
  /** True when librdkafka had nothing to close: the client met a fatal error. */
  bool refused_;
};

}  // namespace toolkit
