#include "packed-consumer.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "arguments.h"
#include "borrow.h"
#include "export-class.h"

namespace toolkit {
namespace {

/**
 * Messages that are taken, copied and freed at once: so many are still in the processor's cache when they are freed. A batch exceeds its
 * bound of bytes by less than a chunk.
 */
constexpr size_t kChunk = 64;

/** So many messages ahead their bytes are asked for: in a long queue they have left the processor's cache. */
constexpr size_t kPrefetched = 4;
constexpr size_t kCacheLine = 64;

void Prefetch(const rd_kafka_message_t& message) {
  const auto* at = static_cast<const char*>(message.payload);
  for (size_t i = 0; i < std::min(message.len, 4 * kCacheLine); i += kCacheLine) __builtin_prefetch(at + i);
}

bool IsSet(const rd_kafka_t* rk, const char* flag) {
  char value[8] = "";
  size_t size = sizeof value;
  return rd_kafka_conf_get(rd_kafka_conf(const_cast<rd_kafka_t*>(rk)), flag, value, &size) == RD_KAFKA_CONF_OK &&
         std::strcmp(value, "true") == 0;
}

void GiveBack(void* data, size_t, void* capacity) {
  BatchMemory::GiveBack({static_cast<char*>(data), reinterpret_cast<size_t>(capacity)});
}

v8::Local<v8::ArrayBuffer> Adopt(Block block, size_t length) {
  auto* capacity = reinterpret_cast<void*>(block.capacity);
  return v8::ArrayBuffer::New(v8::Isolate::GetCurrent(), v8::ArrayBuffer::NewBackingStore(block.data, length, GiveBack, capacity));
}

}  // namespace

/** Columns of the records on their way into a batch. */
struct PackedConsumer::Columns {
  std::vector<double> offsets, timestamps;
  std::vector<int32_t> starts, key_lengths, value_lengths, partitions, topics;
  std::vector<int8_t> timestamp_types;

  size_t size() const { return offsets.size(); }
  void Clear() {
    offsets.clear();
    timestamps.clear();
    starts.clear();
    key_lengths.clear();
    value_lengths.clear();
    partitions.clear();
    topics.clear();
    timestamp_types.clear();
  }
};

/** What came beside records: the end of a partition, or an error. */
struct PackedConsumer::Event {
  std::string topic;
  int32_t partition;
  int64_t offset;
  rd_kafka_resp_err_t code;
  std::string message;
};

/** What one drain took. */
struct PackedConsumer::Taken {
  size_t length = 0;
  size_t byte_count = 0;
  size_t column_bytes = 0;
  Block bytes{};
  Block columns{};
  std::vector<std::string> new_topics;
  std::vector<Event> events;

  Taken() = default;
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;
  ~Taken() {
    if (bytes.data != nullptr) BatchMemory::GiveBack(bytes);
    if (columns.data != nullptr) BatchMemory::GiveBack(columns);
  }
  /** A block that the caller answers for from now on. */
  static Block Release(Block& block) { return std::exchange(block, Block{}); }
};

PackedConsumer::PackedConsumer(rd_kafka_t* rk, v8::Local<v8::Object> client, v8::Local<v8::Function> on_wake,
                               v8::Local<v8::Function> on_commit)
    : rk_(rk),
      wake_(std::make_unique<QueueWake>(rd_kafka_queue_get_consumer(rk), on_wake)),
      commits_(std::make_unique<QueueWake>(rd_kafka_queue_new(rk), on_commit)),
      columns_(std::make_unique<Columns>()),
      marks_partition_ends_(IsSet(rk, "enable.partition.eof")) {
  client_.Reset(client);
}

PackedConsumer::~PackedConsumer() { Release(); }

void PackedConsumer::Release() {
  if (rk_ == nullptr) return;
  side_.reset();
  ahead_.reset();
  is_ahead_ = false;
  rk_ = nullptr;
  wake_->Release();
  commits_->Release();
  client_.Reset();
}

int32_t PackedConsumer::TopicIndex(const std::string& name) {
  auto [entry, added] = topics_.emplace(name, static_cast<int32_t>(topics_.size()));
  if (added) new_topics_.push_back(name);
  return entry->second;
}

/**
 * rd_kafka_consume_batch_queue costs less than half of a poll for each record. But it counts the end of a partition as a record when it
 * notes the position (librdkafka 2.12), so that after a rebalance the partition would go on one record too far, or be reset.
 */
size_t PackedConsumer::Take(rd_kafka_message_t** messages, size_t max_records) {
  if (marks_partition_ends_) {
    messages[0] = rd_kafka_consumer_poll(rk_, 0);
    return messages[0] == nullptr ? 0 : 1;
  }
  const auto count = rd_kafka_consume_batch_queue(wake_->queue(), 0, messages, max_records);
  return count <= 0 ? 0 : static_cast<size_t>(count);
}

std::unique_ptr<PackedConsumer::Taken> PackedConsumer::Drain(size_t max_records, size_t max_bytes) {
  auto taken = std::make_unique<Taken>();
  auto& columns = *columns_;
  columns.Clear();
  new_topics_.clear();
  // As much as the last batch had, by chance; else it grows. What is left over is given back below.
  Bytes bytes(std::min(last_bytes_ + last_bytes_ / 8 + 1, max_bytes));
  rd_kafka_message_t* messages[kChunk];
  while (columns.size() < max_records && bytes.size() < max_bytes) {
    const size_t count = Take(messages, std::min(max_records - columns.size(), kChunk));
    if (count == 0) break;
    // Topics are told apart by their address, which is theirs as long as a message of theirs is held.
    last_topic_ = nullptr;
    for (size_t i = 0; i < count; i++) {
      if (i + kPrefetched < count) Prefetch(*messages[i + kPrefetched]);
      const auto& message = *messages[i];
      if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        Append(messages[i], columns, bytes);
        continue;
      }
      const char* topic = message.rkt == nullptr ? "" : rd_kafka_topic_name(message.rkt);
      taken->events.push_back({topic, message.partition, message.offset, message.err, rd_kafka_message_errstr(messages[i])});
    }
    for (size_t i = 0; i < count; i++) rd_kafka_message_destroy(messages[i]);
  }
  if (columns.size() > 0) Finish(columns, bytes, *taken);
  return taken;
}

/** For JavaScript; undefined when there is nothing. */
v8::Local<v8::Value> PackedConsumer::Present(Taken& taken) {
  if (taken.length == 0 && taken.events.empty()) return Nan::Undefined();
  auto result = Nan::New<v8::Object>();
  if (taken.length > 0) {
    SetField(result, "length", Nan::New(static_cast<uint32_t>(taken.length)));
    SetField(result, "bytes", Adopt(Taken::Release(taken.bytes), taken.byte_count));
    SetField(result, "columns", Adopt(Taken::Release(taken.columns), taken.column_bytes));
  }
  if (!taken.new_topics.empty()) {
    auto names = Nan::New<v8::Array>();
    for (const auto& name : taken.new_topics) Nan::Set(names, names->Length(), Nan::New(name).ToLocalChecked());
    SetField(result, "topics", names);
  }
  if (taken.events.empty()) return result;
  auto eofs = Nan::New<v8::Array>();
  auto errors = Nan::New<v8::Array>();
  for (const auto& event : taken.events) {
    auto place = Nan::New<v8::Object>();
    SetField(place, "topic", Nan::New(event.topic).ToLocalChecked());
    SetField(place, "partition", Nan::New(event.partition));
    SetField(place, "offset", Nan::New(static_cast<double>(event.offset)));
    if (event.code == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      Nan::Set(eofs, eofs->Length(), place);
      continue;
    }
    SetField(place, "code", Nan::New(static_cast<int32_t>(event.code)));
    SetField(place, "message", Nan::New(event.message).ToLocalChecked());
    Nan::Set(errors, errors->Length(), place);
  }
  if (eofs->Length() > 0) SetField(result, "eofs", eofs);
  if (errors->Length() > 0) SetField(result, "errors", errors);
  return result;
}

void PackedConsumer::Append(const rd_kafka_message_t* message, Columns& columns, Bytes& bytes) {
  if (message->rkt != last_topic_) {
    last_topic_ = message->rkt;
    last_topic_index_ = TopicIndex(rd_kafka_topic_name(message->rkt));
  }
  rd_kafka_timestamp_type_t type;
  columns.offsets.push_back(static_cast<double>(message->offset));
  columns.timestamps.push_back(static_cast<double>(rd_kafka_message_timestamp(message, &type)));
  columns.timestamp_types.push_back(type == RD_KAFKA_TIMESTAMP_CREATE_TIME ? 1 : type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? 2 : 0);
  columns.starts.push_back(static_cast<int32_t>(bytes.size()));
  columns.partitions.push_back(message->partition);
  columns.topics.push_back(last_topic_index_);
  columns.key_lengths.push_back(message->key == nullptr ? -1 : static_cast<int32_t>(message->key_len));
  columns.value_lengths.push_back(message->payload == nullptr ? -1 : static_cast<int32_t>(message->len));
  bytes.Put(message->key, message->key_len);
  bytes.Put(message->payload, message->len);
  headers_.Put(message, bytes);
}

/** The layout is that of RecordBatch in src/binding/record-batch.ts. */
void PackedConsumer::Finish(const Columns& columns, Bytes& bytes, Taken& taken) {
  const size_t n = columns.size();
  taken.length = n;
  taken.column_bytes = 16 * n + 4 * (n + 1) + 16 * n + n;
  taken.columns = BatchMemory::Take(taken.column_bytes);
  char* at = taken.columns.data;
  auto put = [&at](const auto& column) {
    const size_t length = column.size() * sizeof(column[0]);
    std::memcpy(at, column.data(), length);
    at += length;
  };
  taken.byte_count = bytes.size();
  const auto end = static_cast<int32_t>(taken.byte_count);
  put(columns.offsets);
  put(columns.timestamps);
  put(columns.starts);
  std::memcpy(at, &end, sizeof end);
  at += sizeof end;
  put(columns.key_lengths);
  put(columns.value_lengths);
  put(columns.partitions);
  put(columns.topics);
  put(columns.timestamp_types);
  last_bytes_ = taken.byte_count;
  taken.bytes = bytes.Release();
  taken.new_topics.swap(new_topics_);
}

NAN_METHOD(PackedConsumer::New) {
  if (!info.IsConstructCall()) return Nan::ThrowTypeError("Expected PackedConsumer to be called with new");
  if (info.Length() < 3 || !info[1]->IsFunction() || !info[2]->IsFunction()) {
    return Nan::ThrowTypeError("Expected a client and two functions");
  }
  rd_kafka_t* rk = borrow(info[0]);
  if (rk == nullptr || rd_kafka_type(rk) != RD_KAFKA_CONSUMER) {
    return Nan::ThrowTypeError("Expected the _client of a connected node-rdkafka KafkaConsumer");
  }
  auto* self = new PackedConsumer(rk, info[0].As<v8::Object>(), info[1].As<v8::Function>(), info[2].As<v8::Function>());
  self->Wrap(info.This());
  info.GetReturnValue().Set(info.This());
}

/** `free(memory, …)`: gives a batch's memory back before the collector does. Nobody may look at it afterwards. */
NAN_METHOD(PackedConsumer::Free) {
  for (int i = 0; i < info.Length(); i++) {
    if (!info[i]->IsArrayBuffer() || !info[i].As<v8::ArrayBuffer>()->IsDetachable()) {
      return Nan::ThrowTypeError("Expected ArrayBuffers that can be detached");
    }
  }
  for (int i = 0; i < info.Length(); i++) {
    if (info[i].As<v8::ArrayBuffer>()->Detach(v8::Local<v8::Value>()).IsNothing()) return;
  }
}

namespace {

struct Limits {
  size_t records, bytes;
};

/** The two arguments of `fetch` and `fetchAhead`. */
std::optional<Limits> ReadLimits(const Nan::FunctionCallbackInfo<v8::Value>& info) {
  auto records = WholeNumber(info[0], 1, INT32_MAX);
  auto bytes = WholeNumber(info[1], 1, INT32_MAX);
  if (!records || !bytes) return std::nullopt;
  return Limits{static_cast<size_t>(*records), static_cast<size_t>(*bytes)};
}

constexpr const char* kIsAhead = "Expected no fetch ahead to be under way: take it first";
constexpr const char* kWrongLimits = "Expected two whole numbers from 1 to 2147483647";

}  // namespace

NAN_METHOD(PackedConsumer::Fetch) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedConsumer>(info.This());
  if (self->rk_ == nullptr) return Nan::ThrowError("The packed consumer is closed");
  if (self->is_ahead_) return Nan::ThrowError(kIsAhead);
  auto limits = ReadLimits(info);
  if (!limits) return Nan::ThrowRangeError(kWrongLimits);
  info.GetReturnValue().Set(Present(*self->Drain(limits->records, limits->bytes)));
}

/**
 * Begins to fetch on the side thread; `onWake` is called when it is done. Holds the event loop open meanwhile. False when there is no such
 * thread.
 */
NAN_METHOD(PackedConsumer::FetchAhead) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedConsumer>(info.This());
  if (self->rk_ == nullptr) return Nan::ThrowError("The packed consumer is closed");
  if (self->is_ahead_) return Nan::ThrowError(kIsAhead);
  auto limits = ReadLimits(info);
  if (!limits) return Nan::ThrowRangeError(kWrongLimits);
  if (self->side_ == nullptr) self->side_ = SideThread::Start();
  info.GetReturnValue().Set(self->side_ != nullptr);
  if (self->side_ == nullptr) return;
  self->is_ahead_ = true;
  self->has_drained_ = false;
  self->wake_->Hold(true);
  self->side_->Run([self, limits] {
    self->ahead_ = self->Drain(limits->records, limits->bytes);
    self->has_drained_ = true;
    self->wake_->Send();
  });
}

/** `takeAhead(wait)`: what `fetchAhead` has fetched; false while it is under way, unless that is waited for (some milliseconds at most). */
NAN_METHOD(PackedConsumer::TakeAhead) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedConsumer>(info.This());
  if (self->rk_ == nullptr) return Nan::ThrowError("The packed consumer is closed");
  if (!self->is_ahead_) return Nan::ThrowError("Expected a fetch ahead to be under way");
  if (!Nan::To<bool>(info[0]).FromJust() && !self->has_drained_) return info.GetReturnValue().Set(false);
  self->side_->Wait();
  self->is_ahead_ = false;
  self->wake_->Hold(false);
  const auto taken = std::move(self->ahead_);
  if (taken != nullptr) info.GetReturnValue().Set(Present(*taken));
}

NAN_METHOD(PackedConsumer::AddTopic) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedConsumer>(info.This());
  if (self->is_ahead_) return Nan::ThrowError(kIsAhead);
  auto name = Text(info[0]);
  if (!name) return Nan::ThrowTypeError("Expected the name of a topic");
  info.GetReturnValue().Set(Nan::New(self->TopicIndex(*name)));
}

namespace {

struct ListDeleter {
  void operator()(rd_kafka_topic_partition_list_t* list) const { rd_kafka_topic_partition_list_destroy(list); }
};
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t, ListDeleter>;

/** An array of `{ topic, partition, offset }`; null for anything else. */
PartitionList ReadPartitions(v8::Local<v8::Value> value) {
  if (!value->IsArray()) return nullptr;
  auto array = value.As<v8::Array>();
  PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(array->Length())));
  for (uint32_t i = 0; i < array->Length(); i++) {
    v8::Local<v8::Value> item;
    if (!Nan::Get(array, i).ToLocal(&item) || !item->IsObject()) return nullptr;
    auto object = item.As<v8::Object>();
    auto field = [&](const char* name) {
      v8::Local<v8::Value> found;
      return Nan::Get(object, Nan::New(name).ToLocalChecked()).ToLocal(&found) ? found : Nan::Undefined().As<v8::Value>();
    };
    auto topic = Text(field("topic"));
    auto partition = WholeNumber(field("partition"), 0, INT32_MAX);
    auto offset = WholeNumber(field("offset"), 0, 9007199254740991);
    if (!topic || !partition || !offset) return nullptr;
    rd_kafka_topic_partition_list_add(list.get(), topic->c_str(), static_cast<int32_t>(*partition))->offset = *offset;
  }
  return list;
}

}  // namespace

/** `commit(partitions, ticket)`: librdkafka's error number, 0 when it is on its way; the answer comes by `takeCommits`. */
NAN_METHOD(PackedConsumer::Commit) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedConsumer>(info.This());
  if (self->rk_ == nullptr) return Nan::ThrowError("The packed consumer is closed");
  auto list = ReadPartitions(info[0]);
  auto ticket = WholeNumber(info[1], 0, INT32_MAX);
  if (list == nullptr || !ticket) return Nan::ThrowTypeError("Expected an array of topic, partition and offset, and a ticket");
  auto* opaque = reinterpret_cast<void*>(static_cast<uintptr_t>(*ticket));
  info.GetReturnValue().Set(
      Nan::New(static_cast<int32_t>(rd_kafka_commit_queue(self->rk_, list.get(), self->commits_->queue(), nullptr, opaque))));
}

/** Answers to commits, `[ticket, error number]` each; a partition's own error counts when the commit as a whole has none. */
NAN_METHOD(PackedConsumer::TakeCommits) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedConsumer>(info.This());
  auto answers = Nan::New<v8::Array>();
  info.GetReturnValue().Set(answers);
  if (self->rk_ == nullptr) return;
  while (auto* event = rd_kafka_queue_poll(self->commits_->queue(), 0)) {
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT) {
      auto code = rd_kafka_event_error(event);
      const auto* list = rd_kafka_event_topic_partition_list(event);
      for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && list != nullptr && i < list->cnt; i++) code = list->elems[i].err;
      auto answer = Nan::New<v8::Array>();
      Nan::Set(answer, 0, Nan::New(static_cast<double>(reinterpret_cast<uintptr_t>(rd_kafka_event_opaque(event)))));
      Nan::Set(answer, 1, Nan::New(static_cast<int32_t>(code)));
      Nan::Set(answers, answers->Length(), answer);
    }
    rd_kafka_event_destroy(event);
  }
}

/** Stores offsets for the next automatic commit; gives the places of those that were refused. */
NAN_METHOD(PackedConsumer::StoreOffsets) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedConsumer>(info.This());
  if (self->rk_ == nullptr) return Nan::ThrowError("The packed consumer is closed");
  auto list = ReadPartitions(info[0]);
  if (list == nullptr) return Nan::ThrowTypeError("Expected an array of topic, partition and offset");
  rd_kafka_offsets_store(self->rk_, list.get());
  auto refused = Nan::New<v8::Array>();
  for (int i = 0; i < list->cnt; i++) {
    if (list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR) Nan::Set(refused, refused->Length(), Nan::New(i));
  }
  info.GetReturnValue().Set(refused);
}

/** During a revoke: whether the group has given the partitions away already. */
NAN_METHOD(PackedConsumer::AssignmentLost) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedConsumer>(info.This());
  if (self->rk_ == nullptr) return Nan::ThrowError("The packed consumer is closed");
  info.GetReturnValue().Set(rd_kafka_assignment_lost(self->rk_) != 0);
}

/** Whether the coordinator has given this consumer a name in its group, which is what it leaves by. */
NAN_METHOD(PackedConsumer::IsMember) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedConsumer>(info.This());
  if (self->rk_ == nullptr) return Nan::ThrowError("The packed consumer is closed");
  char* member = rd_kafka_memberid(self->rk_);
  info.GetReturnValue().Set(member != nullptr && *member != '\0');
  if (member != nullptr) rd_kafka_mem_free(self->rk_, member);
}

NAN_METHOD(PackedConsumer::Close) { Nan::ObjectWrap::Unwrap<PackedConsumer>(info.This())->Release(); }

void PackedConsumer::Init(v8::Local<v8::Object> exports) {
  ExportClass(exports, "PackedConsumer", New,
              {
                  {"fetch", Fetch},
                  {"fetchAhead", FetchAhead},
                  {"takeAhead", TakeAhead},
                  {"free", Free},
                  {"addTopic", AddTopic},
                  {"commit", Commit},
                  {"takeCommits", TakeCommits},
                  {"storeOffsets", StoreOffsets},
                  {"assignmentLost", AssignmentLost},
                  {"isMember", IsMember},
                  {"close", Close},
              });
}

}  // namespace toolkit
