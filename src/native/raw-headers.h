#pragma once

#include <stdint.h>

#include "rdkafka.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The headers of a consumed message as they came over the wire: a count, then name and value of each, all lengths as varints. Sets `data`
 * and gives the bytes; -1 when the message is no consumed one, its headers were parsed before, or this cannot be told.
 *
 * librdkafka keeps them but does not give them out. Compiled against the private headers of the librdkafka that node-rdkafka built; an
 * installed librdkafka has none.
 */
#ifdef TOOLKIT_RAW_HEADERS
int32_t toolkit_raw_headers(const rd_kafka_message_t* message, const uint8_t** data);
#else
static inline int32_t toolkit_raw_headers(const rd_kafka_message_t* message, const uint8_t** data) {
  (void)message;
  (void)data;
  return -1;
}
#endif

#ifdef __cplusplus
}
#endif
