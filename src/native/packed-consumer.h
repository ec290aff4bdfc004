#pragma once

#include <nan.h>

#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bytes.h"
#include "header-reader.h"
#include "queue-wake.h"
#include "rdkafka.h"
#include "side-thread.h"

namespace toolkit {

/**
 * Drains the consumer queue of a borrowed client into packed batches: on the event loop's thread, or ahead of it on a thread of its own. The
 * queue's wake-up, which librdkafka calls from its own threads, only sends a uv_async.
 */
class PackedConsumer : public Nan::ObjectWrap {
 public:
  static void Init(v8::Local<v8::Object> exports);

 private:
  struct Columns;
  struct Event;
  struct Taken;

  PackedConsumer(rd_kafka_t* rk, v8::Local<v8::Object> client, v8::Local<v8::Function> on_wake, v8::Local<v8::Function> on_commit);
  ~PackedConsumer() override;

  static NAN_METHOD(New);
  static NAN_METHOD(Fetch);
  static NAN_METHOD(FetchAhead);
  static NAN_METHOD(TakeAhead);
  static NAN_METHOD(Free);
  static NAN_METHOD(AddTopic);
  static NAN_METHOD(Commit);
  static NAN_METHOD(TakeCommits);
  static NAN_METHOD(StoreOffsets);
  static NAN_METHOD(AssignmentLost);
  static NAN_METHOD(IsMember);
  static NAN_METHOD(Close);

  /** Packs what is in the queue. Touches nothing of V8's, so that it may run on the side thread: then nothing else may. */
  std::unique_ptr<Taken> Drain(size_t max_records, size_t max_bytes);
  /** Takes up to so many messages from the queue, and says how many. */
  size_t Take(rd_kafka_message_t** messages, size_t max_records);
  void Append(const rd_kafka_message_t* message, Columns& columns, Bytes& bytes);
  void Finish(const Columns& columns, Bytes& bytes, Taken& taken);
  static v8::Local<v8::Value> Present(Taken& taken);
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
  std::unique_ptr<SideThread> side_;
  /** What the side thread has drained, until it is taken. */
  std::unique_ptr<Taken> ahead_;
  bool is_ahead_ = false;
  std::atomic<bool> has_drained_ = false;
  HeaderReader headers_;
  /** Bytes of the last batch. */
  size_t last_bytes_ = 0;
  const rd_kafka_topic_t* last_topic_ = nullptr;
  int32_t last_topic_index_ = 0;
  /** Whether the ends of partitions come as messages, too (`enable.partition.eof`). */
  bool marks_partition_ends_;
};

}  // namespace toolkit
