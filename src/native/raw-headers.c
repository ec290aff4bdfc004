#include "raw-headers.h"

#include "rdkafka_int.h"
#include "rdkafka_msg.h"

int32_t toolkit_raw_headers(const rd_kafka_message_t* message, const uint8_t** data) {
  const rd_kafka_msg_t* own = (const rd_kafka_msg_t*)message;
  if ((own->rkm_flags & RD_KAFKA_MSG_F_PRODUCER) != 0 || own->rkm_headers != NULL) return -1;
  *data = (const uint8_t*)own->rkm_u.consumer.binhdrs.data;
  return RD_KAFKAP_BYTES_LEN(&own->rkm_u.consumer.binhdrs);
}
