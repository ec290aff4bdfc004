import avro from 'avsc';
import { type FieldCount, type Trip, tripSchemas } from './records.ts';

/** avsc as its documentation says, and Confluent's wire format around it. */
export class PlainAvro {
  readonly type: avro.Type;
  #id = 0;

  constructor(fields: FieldCount) {
    this.type = avro.Type.forSchema(JSON.parse(tripSchemas[fields].text) as avro.Schema);
  }

  decode(value: Buffer): Trip {
    this.#id = value.readUInt32BE(1);
    return this.type.fromBuffer(value.subarray(5)) as Trip;
  }

  /** With the schema id of what was decoded last. */
  encode(trip: Trip): Buffer {
    const body = this.type.toBuffer(trip);
    const value = Buffer.allocUnsafe(5 + body.length);
    value[0] = 0;
    value.writeUInt32BE(this.#id, 1);
    body.copy(value, 5);
    return value;
  }
}
