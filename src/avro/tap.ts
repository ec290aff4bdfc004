import { SHORT_TEXT_BYTES, ShortTexts, utf8 } from './short-texts.ts';

/** Levels of unions, arrays and maps within each other that a value may have: far beyond any real one, far below the stack's end. */
const MAX_DEPTH = 512;

/** Items without any bytes (nulls, empty records) that one record may claim: nothing in its size bounds them. */
const MAX_EMPTY_ITEMS = 65_536;

/** Bytes of the longest varint: 64 bits in groups of seven. */
const MAX_VARINT_BYTES = 10;

const TWO_27 = 2 ** 27;

/** One for all taps of the thread. */
const texts = new ShortTexts();

/**
 * The bytes avsc's types read from and write to, in place of avsc's own: it knows where the record ends within a batch's memory, so that
 * a length or an item count from the wire is checked before anything is allocated for it, and it is reused, so that a record costs no
 * object here. Has the methods avsc calls.
 *
 * Single numbers are read without a look at the end; whoever decodes compares `pos` with `end` afterwards. All that loops, recurses or
 * allocates asks first.
 */
export class Tap {
  buf: Buffer;
  pos = 0;
  /** Where the record ends. */
  end = 0;
  #view: DataView;
  #depth = 0;
  #emptyItems = 0;

  constructor(buf: Buffer) {
    this.buf = buf;
    this.#view = new DataView(buf.buffer, buf.byteOffset, buf.length);
  }

  /** Goes to a record at `[start, end)` of `buf`. */
  open(buf: Buffer, start: number, end: number): void {
    if (buf !== this.buf) {
      this.buf = buf;
      this.#view = new DataView(buf.buffer, buf.byteOffset, buf.length);
    }
    this.pos = start;
    this.end = end;
    this.#depth = 0;
    this.#emptyItems = 0;
  }

  isValid(): boolean {
    return this.pos <= this.end;
  }

  /** Called on the way into a union, array or map: every recursion of a schema goes through one. */
  enter(): void {
    if (++this.#depth > MAX_DEPTH) throw new RangeError(`the value is nested more than ${MAX_DEPTH} levels deep`);
    if (this.pos > this.end) throw truncated();
  }

  leave(): void {
    this.#depth--;
  }

  /**
   * The item count of the next block of an array or map whose items have `itemBytes` bytes at least; 0 after the last block.
   *
   * @throws RangeError for more items than the rest of the record can hold
   */
  readBlockSize(itemBytes: number): number {
    let count = this.readLong();
    if (count < 0) {
      count = -count;
      // The block's size in bytes is for those who skip it whole.
      this.readLong();
    }
    if (count === 0) return 0;
    if (itemBytes > 0) {
      if (count * itemBytes > this.end - this.pos) {
        throw new RangeError(`${count} items are claimed and ${Math.max(0, this.end - this.pos)} bytes are left`);
      }
    } else {
      this.#emptyItems += count;
      if (this.#emptyItems > MAX_EMPTY_ITEMS) throw new RangeError(`more than ${MAX_EMPTY_ITEMS} items without bytes are claimed`);
    }
    return count;
  }

  /** Called after an item: none is read from beyond the record. */
  checkEnd(): void {
    if (this.pos > this.end) throw truncated();
  }

  readBoolean(): boolean {
    return this.buf[this.pos++] !== 0;
  }

  skipBoolean(): void {
    this.pos++;
  }

  /** Exact within ±(2^53 - 1); beyond that only the magnitude is right, which `ExactLong` refuses. */
  readLong(): number {
    const { buf } = this;
    let { pos } = this;
    let byte = buf[pos++]!;
    if (byte < 0x80) {
      this.pos = pos;
      return (byte >>> 1) ^ -(byte & 1);
    }
    let low = byte & 0x7f;
    let shift = 7;
    do {
      byte = buf[pos++]!;
      low |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte >= 0x80 && shift < 28);
    this.pos = pos;
    if (byte < 0x80) return (low >>> 1) ^ -(low & 1);
    const magnitude = this.#readHigh() * TWO_27 + (low >>> 1);
    return (low & 1) === 0 ? magnitude : -magnitude - 1;
  }

  /** What of a varint is above its lowest 28 bits. */
  #readHigh(): number {
    const { buf } = this;
    let high = 0;
    let scale = 1;
    for (let bytes = 5; ; bytes++) {
      const byte = buf[this.pos++];
      if (byte === undefined || this.pos > this.end) throw truncated();
      high += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (bytes === MAX_VARINT_BYTES && byte > 1) throw new RangeError('a long has more than 64 bits');
        return high;
      }
      if (bytes === MAX_VARINT_BYTES) throw new RangeError('a long has more than 64 bits');
      scale *= 128;
    }
  }

  readInt(): number {
    const value = this.readLong();
    if (value !== (value | 0)) throw new RangeError(`an int has more than 32 bits`);
    return value;
  }

  /** All 64 bits. */
  readBigLong(): bigint {
    const { buf, pos } = this;
    let low = 0;
    for (let shift = 0, at = pos; shift < 28; shift += 7, at++) {
      const byte = buf[at];
      if (byte === undefined) throw truncated();
      low |= (byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      this.pos = at + 1;
      return BigInt((low >>> 1) ^ -(low & 1));
    }
    this.pos = pos + 4;
    const raw = (BigInt(this.#readHigh()) << 28n) | BigInt(low);
    return (raw >> 1n) ^ -(raw & 1n);
  }

  skipLong(): void {
    const { buf } = this;
    while (buf[this.pos++]! >= 0x80);
  }

  skipInt(): void {
    this.skipLong();
  }

  readFloat(): number {
    return this.#view.getFloat32(this.#take(4), true);
  }

  skipFloat(): void {
    this.pos += 4;
  }

  readDouble(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  skipDouble(): void {
    this.pos += 8;
  }

  /** Where the next `length` bytes start. */
  #take(length: number): number {
    const { pos } = this;
    const next = pos + length;
    // Written so that NaN is refused, too.
    if (!(length >= 0 && next <= this.end)) throw truncated();
    this.pos = next;
    return pos;
  }

  readString(): string {
    const length = this.readLong();
    const pos = this.#take(length);
    if (length > SHORT_TEXT_BYTES) return utf8(this.buf, pos, pos + length);
    return length === 0 ? '' : texts.read(this.buf, pos, pos + length);
  }

  skipString(): void {
    this.#take(this.readLong());
  }

  readBytes(): Buffer {
    return this.readFixed(this.readLong());
  }

  skipBytes(): void {
    this.skipString();
  }

  /** A copy: a value that is kept does not keep its batch. */
  readFixed(length: number): Buffer {
    const pos = this.#take(length);
    const bytes = Buffer.allocUnsafe(length);
    this.buf.copy(bytes, 0, pos, pos + length);
    return bytes;
  }

  skipFixed(length: number): void {
    this.#take(length);
  }

  /** Skips as many bytes as a block says it has; never backwards. */
  skipBlock(): void {
    this.#take(this.readLong());
  }

  // What is written beyond the end goes nowhere; whoever encodes compares `pos` with `end` afterwards.

  writeBoolean(value: boolean): void {
    this.buf[this.pos++] = value ? 1 : 0;
  }

  /** A whole number within ±(2^53 - 1). */
  writeLong(value: number): void {
    const { buf } = this;
    if (value >= -0x4000_0000 && value < 0x4000_0000) {
      this.#writeUnsigned((value << 1) ^ (value >> 31));
      return;
    }
    if (!Number.isSafeInteger(value)) throw new RangeError(`${String(value)} is no whole number that is exact`);
    const magnitude = value < 0 ? -value - 1 : value;
    const low = (magnitude % TWO_27) * 2 + (value < 0 ? 1 : 0);
    let { pos } = this;
    for (let shift = 0; shift < 28; shift += 7) buf[pos++] = ((low >>> shift) & 0x7f) | 0x80;
    // Above 2^30 it is never 0.
    let high = Math.floor(magnitude / TWO_27);
    for (; high > 0x7f; high = Math.floor(high / 128)) buf[pos++] = (high % 128) | 0x80;
    buf[pos++] = high;
    this.pos = pos;
  }

  #writeUnsigned(value: number): void {
    const { buf } = this;
    let { pos } = this;
    let rest = value;
    while (rest > 0x7f || rest < 0) {
      buf[pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buf[pos++] = rest;
    this.pos = pos;
  }

  writeInt(value: number): void {
    this.writeLong(value);
  }

  /** A whole number of 64 bits. */
  writeBigLong(value: bigint): void {
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    while (rest > 0x7fn) {
      this.buf[this.pos++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.buf[this.pos++] = Number(rest);
  }

  writeFloat(value: number): void {
    const { pos } = this;
    this.pos += 4;
    if (this.pos <= this.end) this.#view.setFloat32(pos, value, true);
  }

  writeDouble(value: number): void {
    const { pos } = this;
    this.pos += 8;
    if (this.pos <= this.end) this.#view.setFloat64(pos, value, true);
  }

  writeFixed(bytes: Uint8Array, length: number = bytes.length): void {
    const { pos } = this;
    this.pos += length;
    if (this.pos <= this.end) this.buf.set(bytes, pos);
  }

  writeBytes(bytes: Uint8Array): void {
    this.writeLong(bytes.length);
    this.writeFixed(bytes);
  }

  writeString(text: string): void {
    const { length } = text;
    if (length < SHORT_TEXT && this.#writeShortAscii(text, length)) return;
    const bytes = Buffer.byteLength(text);
    this.writeLong(bytes);
    const { pos } = this;
    this.pos += bytes;
    if (this.pos <= this.end) this.buf.write(text, pos, bytes, 'utf8');
  }

  /** Texts whose length takes one byte, written without a call out of JavaScript; false, and nothing is written, when not all is ASCII. */
  #writeShortAscii(text: string, length: number): boolean {
    const { buf } = this;
    let { pos } = this;
    buf[pos++] = length << 1;
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return false;
      buf[pos++] = code;
    }
    this.pos = pos;
    return true;
  }

  /** Bytes as a binary string: how avsc keeps encoded defaults. */
  writeBinary(text: string, length: number): void {
    const { pos } = this;
    this.pos += length;
    if (this.pos <= this.end) this.buf.write(text, pos, length, 'latin1');
  }
}

/** Lengths below this take one byte. */
const SHORT_TEXT = 64;

function truncated(): RangeError {
  return new RangeError('the value is truncated');
}
