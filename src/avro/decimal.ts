/** A number of Avro's `decimal`, exact: `unscaled / 10^scale`. */
export class AvroDecimal {
  readonly unscaled: bigint;
  /** Digits after the point. */
  readonly scale: number;

  constructor(unscaled: bigint, scale: number) {
    this.unscaled = unscaled;
    this.scale = scale;
  }

  /**
   * Reads `12.34`, `-5`, `0.001`.
   *
   * @throws RangeError for anything else
   */
  static parse(text: string): AvroDecimal {
    const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
    if (whole === undefined) throw new RangeError(`Expected a decimal number such as 12.34, got ${JSON.stringify(text)}`);
    const unscaled = BigInt(whole + fraction);
    return new AvroDecimal(sign === '-' ? -unscaled : unscaled, fraction.length);
  }

  /**
   * The same number with another scale.
   *
   * @throws RangeError when digits would be lost
   */
  rescale(scale: number): AvroDecimal {
    if (scale >= this.scale) return new AvroDecimal(this.unscaled * 10n ** BigInt(scale - this.scale), scale);
    const divisor = 10n ** BigInt(this.scale - scale);
    if (this.unscaled % divisor !== 0n) throw new RangeError(`${this.toString()} has more than ${scale} digits after the point`);
    return new AvroDecimal(this.unscaled / divisor, scale);
  }

  /** The nearest double: not exact. */
  toNumber(): number {
    return Number(this.toString());
  }

  toString(): string {
    const negative = this.unscaled < 0n;
    const digits = (negative ? -this.unscaled : this.unscaled).toString().padStart(this.scale + 1, '0');
    const point = digits.length - this.scale;
    return `${negative ? '-' : ''}${digits.slice(0, point)}${this.scale === 0 ? '' : `.${digits.slice(point)}`}`;
  }

  /** As text, so that no digit is lost. */
  toJSON(): string {
    return this.toString();
  }
}

/** Two's complement, big-endian, as Avro keeps it. */
export function readUnscaled(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n;
  const magnitude = BigInt(`0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}`);
  return BigInt.asIntN(8 * bytes.length, magnitude);
}

/**
 * The fewest bytes that hold the number, or exactly `size` of them.
 *
 * @throws RangeError when it does not fit
 */
export function writeUnscaled(unscaled: bigint, size: number | undefined): Buffer {
  let length = size ?? 1;
  if (size === undefined) while (BigInt.asIntN(8 * length, unscaled) !== unscaled) length++;
  if (BigInt.asIntN(8 * length, unscaled) !== unscaled) throw new RangeError(`${unscaled} does not fit into ${length} bytes`);
  const hex = BigInt.asUintN(8 * length, unscaled).toString(16);
  return Buffer.from(hex.padStart(2 * length, '0'), 'hex');
}
