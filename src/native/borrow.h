#pragma once

#include <nan.h>

#include "rdkafka.h"
#include "rdkafkacpp.h"
#include "src/connection.h"

namespace toolkit {

/**
 * The rd_kafka_t of a connected node-rdkafka client, null for anything else. The handle stays node-rdkafka's: whoever borrows it
 * keeps the client object alive and lets go before the client disconnects.
 *
 * `m_client` is protected; a pointer to member taken through a derived class reaches it without touching node-rdkafka. Compiled
 * against the installed headers, so the layout is the one node-rdkafka was built with.
 */
inline rd_kafka_t* borrow(v8::Local<v8::Value> value) {
  struct Access : NodeKafka::Connection {
    static RdKafka::Handle* client(NodeKafka::Connection* connection) { return connection->*(&Access::m_client); }
  };
  if (!value->IsObject()) return nullptr;
  auto object = value.As<v8::Object>();
  if (object->InternalFieldCount() < 1) return nullptr;
  auto name = Nan::Utf8String(object->GetConstructorName());
  if (std::string(*name) != "KafkaConsumer" && std::string(*name) != "Producer") return nullptr;
  auto* connection = Nan::ObjectWrap::Unwrap<NodeKafka::Connection>(object);
  if (connection == nullptr) return nullptr;
  RdKafka::Handle* handle = Access::client(connection);
  return handle == nullptr ? nullptr : handle->c_ptr();
}

}  // namespace toolkit
