import { DecodeError } from '../errors.ts';

/** Bytes before the Avro body: a zero byte and the schema id, big-endian (Confluent's wire format). */
export const WIRE_HEADER_BYTES = 5;

/**
 * Reads the schema id of a value at `[start, end)`.
 *
 * @throws DecodeError when it is too short or does not start with the magic byte 0
 */
export function readSchemaId(bytes: Buffer, start: number, end: number): number {
  if (end - start < WIRE_HEADER_BYTES) {
    throw new DecodeError(`Expected at least ${WIRE_HEADER_BYTES} bytes of Confluent wire format, got ${end - start}. Is it Avro at all?`);
  }
  if (bytes[start] !== 0) {
    const magic = `0x${bytes[start]!.toString(16).padStart(2, '0')}`;
    throw new DecodeError(`Expected magic byte 0x00, got ${magic}. The producer did not write Confluent wire format.`);
  }
  return bytes.readUInt32BE(start + 1);
}

/** As {@link readSchemaId}, undefined instead of an error. */
export function peekSchemaId(bytes: Buffer, start: number, end: number): number | undefined {
  return end - start < WIRE_HEADER_BYTES || bytes[start] !== 0 ? undefined : bytes.readUInt32BE(start + 1);
}

/** Writes magic byte and schema id at `start`. */
export function writeWireHeader(bytes: Buffer, start: number, schemaId: number): void {
  bytes[start] = 0;
  bytes.writeUInt32BE(schemaId, start + 1);
}
