#include "mock-cluster.h"

#include <functional>
#include <vector>

#include "arguments.h"
#include "borrow.h"
#include "export-class.h"
#include "rdkafka_mock.h"

// Weak: a distribution's librdkafka may be too old to have it (Debian's 2.0.2 is), which is found out when the addon is loaded.
extern "C" void rd_kafka_mock_group_initial_rebalance_delay_ms(rd_kafka_mock_cluster_t* cluster, int32_t milliseconds) __attribute__((weak));

namespace toolkit {

MockCluster::MockCluster(rd_kafka_mock_cluster_t* cluster, v8::Local<v8::Object> client) : cluster_(cluster) { client_.Reset(client); }

NAN_METHOD(MockCluster::New) {
  if (!info.IsConstructCall()) return Nan::ThrowTypeError("Expected MockCluster to be called with new");
  rd_kafka_t* rk = borrow(info[0]);
  auto* cluster = rk == nullptr ? nullptr : rd_kafka_handle_mock_cluster(rk);
  if (cluster == nullptr) return Nan::ThrowTypeError("Expected the _client of a connected producer with test.mock.num.brokers");
  auto* self = new MockCluster(cluster, info[0].As<v8::Object>());
  self->Wrap(info.This());
  info.GetReturnValue().Set(info.This());
}

namespace {

/** Runs a control on the cluster and gives librdkafka's answer, 0 for success. */
void Answer(const Nan::FunctionCallbackInfo<v8::Value>& info, rd_kafka_mock_cluster_t* cluster,
            const std::function<int32_t(rd_kafka_mock_cluster_t*)>& control) {
  if (cluster == nullptr) return Nan::ThrowError("The mock cluster is closed");
  info.GetReturnValue().Set(Nan::New(control(cluster)));
}

}  // namespace

rd_kafka_mock_cluster_t* MockCluster::Of(const Nan::FunctionCallbackInfo<v8::Value>& info) {
  return Nan::ObjectWrap::Unwrap<MockCluster>(info.This())->cluster_;
}

NAN_METHOD(MockCluster::CreateTopic) {
  auto topic = Text(info[0]);
  auto partitions = WholeNumber(info[1], 1, 10000);
  auto replicas = WholeNumber(info[2], 1, 100);
  if (!topic || !partitions || !replicas) return Nan::ThrowTypeError("Expected a topic, a number of partitions and a number of replicas");
  Answer(info, Of(info), [&](auto* cluster) {
    return rd_kafka_mock_topic_create(cluster, topic->c_str(), static_cast<int>(*partitions), static_cast<int>(*replicas));
  });
}

NAN_METHOD(MockCluster::SetBrokerUp) {
  auto broker = WholeNumber(info[0], 1, INT32_MAX);
  if (!broker || !info[1]->IsBoolean()) return Nan::ThrowTypeError("Expected a broker id and a boolean");
  const bool up = Nan::To<bool>(info[1]).FromJust();
  Answer(info, Of(info), [&](auto* cluster) {
    const auto id = static_cast<int32_t>(*broker);
    return up ? rd_kafka_mock_broker_set_up(cluster, id) : rd_kafka_mock_broker_set_down(cluster, id);
  });
}

NAN_METHOD(MockCluster::SetRoundTripTime) {
  auto broker = WholeNumber(info[0], 1, INT32_MAX);
  auto milliseconds = WholeNumber(info[1], 0, INT32_MAX);
  if (!broker || !milliseconds) return Nan::ThrowTypeError("Expected a broker id and milliseconds");
  Answer(info, Of(info), [&](auto* cluster) {
    return rd_kafka_mock_broker_set_rtt(cluster, static_cast<int32_t>(*broker), static_cast<int>(*milliseconds));
  });
}

NAN_METHOD(MockCluster::PushErrors) {
  auto api = WholeNumber(info[0], 0, INT16_MAX);
  if (!api || !info[1]->IsArray()) return Nan::ThrowTypeError("Expected an API key and an array of error codes");
  auto list = info[1].As<v8::Array>();
  std::vector<rd_kafka_resp_err_t> codes;
  for (uint32_t i = 0; i < list->Length(); i++) {
    auto code = WholeNumber(Nan::Get(list, i).ToLocalChecked(), INT16_MIN, INT16_MAX);
    if (!code) return Nan::ThrowTypeError("Expected an array of error codes");
    codes.push_back(static_cast<rd_kafka_resp_err_t>(*code));
  }
  Answer(info, Of(info), [&](auto* cluster) {
    rd_kafka_mock_push_request_errors_array(cluster, static_cast<int16_t>(*api), codes.size(), codes.data());
    return 0;
  });
}

NAN_METHOD(MockCluster::ClearErrors) {
  auto api = WholeNumber(info[0], 0, INT16_MAX);
  if (!api) return Nan::ThrowTypeError("Expected an API key");
  Answer(info, Of(info), [&](auto* cluster) {
    rd_kafka_mock_clear_request_errors(cluster, static_cast<int16_t>(*api));
    return 0;
  });
}

NAN_METHOD(MockCluster::SetLeader) {
  auto topic = Text(info[0]);
  auto partition = WholeNumber(info[1], 0, INT32_MAX);
  auto broker = WholeNumber(info[2], -1, INT32_MAX);
  if (!topic || !partition || !broker) return Nan::ThrowTypeError("Expected a topic, a partition and a broker id");
  Answer(info, Of(info), [&](auto* cluster) {
    return rd_kafka_mock_partition_set_leader(cluster, topic->c_str(), static_cast<int32_t>(*partition), static_cast<int32_t>(*broker));
  });
}

NAN_METHOD(MockCluster::SetCoordinator) {
  auto type = Text(info[0]);
  auto key = Text(info[1]);
  auto broker = WholeNumber(info[2], 1, INT32_MAX);
  if (!type || !key || !broker) return Nan::ThrowTypeError("Expected a type, a key and a broker id");
  Answer(info, Of(info), [&](auto* cluster) {
    return rd_kafka_mock_coordinator_set(cluster, type->c_str(), key->c_str(), static_cast<int32_t>(*broker));
  });
}

NAN_METHOD(MockCluster::SetGroupJoinDelay) {
  auto milliseconds = WholeNumber(info[0], 0, INT32_MAX);
  if (!milliseconds) return Nan::ThrowTypeError("Expected milliseconds");
  Answer(info, Of(info), [&](auto* cluster) {
    if (rd_kafka_mock_group_initial_rebalance_delay_ms == nullptr) return RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED;
    rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, static_cast<int32_t>(*milliseconds));
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  });
}

NAN_METHOD(MockCluster::Close) {
  auto* self = Nan::ObjectWrap::Unwrap<MockCluster>(info.This());
  self->cluster_ = nullptr;
  self->client_.Reset();
}

void MockCluster::Init(v8::Local<v8::Object> exports) {
  ExportClass(exports, "MockCluster", New,
              {
                  {"createTopic", CreateTopic},
                  {"setBrokerUp", SetBrokerUp},
                  {"setRoundTripTime", SetRoundTripTime},
                  {"pushErrors", PushErrors},
                  {"clearErrors", ClearErrors},
                  {"setLeader", SetLeader},
                  {"setCoordinator", SetCoordinator},
                  {"setGroupJoinDelay", SetGroupJoinDelay},
                  {"close", Close},
              });
}

}  // namespace toolkit
