#include "consumer-close.h"

#include "borrow.h"
#include "export-class.h"

namespace toolkit {

ConsumerClose::ConsumerClose(rd_kafka_t* rk, v8::Local<v8::Object> client, v8::Local<v8::Function> on_wake)
    : rk_(rk), queue_(std::make_unique<QueueWake>(rd_kafka_queue_new(rk), on_wake)) {
  client_.Reset(client);
  rd_kafka_error_t* error = rd_kafka_consumer_close_queue(rk, queue_->queue());
  refused_ = error != nullptr;
  if (error != nullptr) rd_kafka_error_destroy(error);
}

ConsumerClose::~ConsumerClose() { LetGo(); }

void ConsumerClose::LetGo() {
  if (rk_ == nullptr) return;
  rk_ = nullptr;
  queue_->Release();
  client_.Reset();
}

/** Runs the callbacks that have come, drops the records, and says whether the group is left. */
bool ConsumerClose::ServeQueue() {
  while (auto* message = rd_kafka_consume_queue(queue_->queue(), 0)) rd_kafka_message_destroy(message);
  // Some callbacks end the look before the queue is empty: then it is looked at again in another turn of the event loop.
  if (rd_kafka_queue_length(queue_->queue()) > 0) queue_->Send();
  return refused_ || rd_kafka_consumer_closed(rk_) != 0;
}

NAN_METHOD(ConsumerClose::New) {
  if (!info.IsConstructCall()) return Nan::ThrowTypeError("Expected ConsumerClose to be called with new");
  if (info.Length() < 2 || !info[1]->IsFunction()) return Nan::ThrowTypeError("Expected a client and a function");
  rd_kafka_t* rk = borrow(info[0]);
  if (rk == nullptr || rd_kafka_type(rk) != RD_KAFKA_CONSUMER) {
    return Nan::ThrowTypeError("Expected the _client of a connected node-rdkafka KafkaConsumer");
  }
  auto* self = new ConsumerClose(rk, info[0].As<v8::Object>(), info[1].As<v8::Function>());
  self->Wrap(info.This());
  info.GetReturnValue().Set(info.This());
}

NAN_METHOD(ConsumerClose::Serve) {
  auto* self = Nan::ObjectWrap::Unwrap<ConsumerClose>(info.This());
  info.GetReturnValue().Set(self->rk_ == nullptr || self->ServeQueue());
}

/** Stops node-rdkafka's own callbacks, which hold the event loop open. */
NAN_METHOD(ConsumerClose::Quiet) {
  auto* self = Nan::ObjectWrap::Unwrap<ConsumerClose>(info.This());
  if (self->rk_ != nullptr) Nan::ObjectWrap::Unwrap<NodeKafka::Connection>(Nan::New(self->client_))->DeactivateDispatchers();
}

NAN_METHOD(ConsumerClose::Release) { Nan::ObjectWrap::Unwrap<ConsumerClose>(info.This())->LetGo(); }

void ConsumerClose::Init(v8::Local<v8::Object> exports) {
  ExportClass(exports, "ConsumerClose", New, {{"serve", Serve}, {"quiet", Quiet}, {"release", Release}});
}

}  // namespace toolkit
