#pragma once

#include <nan.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bytes.h"
#include "header-reader.h"
#include "queue-wake.h"
#include "rdkafka.h"

namespace toolkit {

/**
 * Drains the consumer queue of a borrowed client into packed batches. Everything runs on the event loop's thread but the queue's
 * wake-up, which librdkafka calls from its own threads and which only sends a uv_async.
 */
class PackedConsumer : public Nan::ObjectWrap {
 public:
  static void Init(v8::Local<v8::Object> exports);

 private:
  struct Columns;

  PackedConsumer(rd_kafka_t* rk, v8::Local<v8::Object> client, v8::Local<v8::Function> on_wake, v8::Local<v8::Function> on_commit);
  ~PackedConsumer() override;

  static NAN_METHOD(New);
  static NAN_METHOD(Fetch);
  static NAN_METHOD(Free);
  static NAN_METHOD(AddTopic);
  static NAN_METHOD(Commit);
  static NAN_METHOD(TakeCommits);
  static NAN_METHOD(StoreOffsets);
  static NAN_METHOD(AssignmentLost);
  static NAN_METHOD(IsMember);
  static NAN_METHOD(Close);

  v8::Local<v8::Value> Drain(size_t max_records, size_t max_bytes);
  /** Takes up to so many messages from the queue, and says how many. */
  size_t Take(rd_kafka_message_t** messages, size_t max_records);
  void Append(const rd_kafka_message_t* message, Columns& columns, Bytes& bytes);
  void Finish(v8::Local<v8::Object> result, const Columns& columns, Bytes& bytes);
  static void NoteEvent(const rd_kafka_message_t* message, v8::Local<v8::Array> eofs, v8::Local<v8::Array> errors);
  int32_t TopicIndex(const std::string& name);
  void Release();

  rd_kafka_t* rk_;
  std::unique_ptr<QueueWake> wake_;
  /** Answers to commits come here, so that looking for them takes no record. */
  std::unique_ptr<QueueWake> commits_;
  Nan::Persistent<v8::Object> client_;
  std::unordered_map<std::string, int32_t> topics_;
  std::vector<std::string> new_topics_;
  std::unique_ptr<Columns> columns_;
  HeaderReader headers_;
  /** Bytes of the last batch. */
  size_t last_bytes_ = 0;
  const rd_kafka_topic_t* last_topic_ = nullptr;
  int32_t last_topic_index_ = 0;
  /** Whether the ends of partitions come as messages, too (`enable.partition.eof`). */
  bool marks_partition_ends_;
};

}  // namespace toolkit
