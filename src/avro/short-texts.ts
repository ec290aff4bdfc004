/** Longest text that is remembered, in bytes: beyond it comparing costs more than decoding. */
export const SHORT_TEXT_BYTES = 16;

const SLOTS = 2_048;

/** Misses in excess of hits after which looking rests, and for how many texts: a field of unique texts must not pay for it. */
const PATIENCE = 64;
const REST = 1_024;

/** What of Node's `Buffer` is called bare, without the argument checks of `toString`. */
interface Utf8Memory {
  utf8Slice(start: number, end: number): string;
}

/** Decodes UTF-8. */
export function utf8(bytes: Buffer, start: number, end: number): string {
  return (bytes as unknown as Utf8Memory).utf8Slice(start, end);
}

/**
 * Short texts read lately, by their bytes. Codes, names and states repeat from record to record, and comparing one costs less than
 * a call out of JavaScript that makes it anew.
 */
export class ShortTexts {
  readonly #texts: string[] = new Array<string>(SLOTS).fill('');
  #patience = PATIENCE;
  #rest = 0;

  /** The text at `[start, end)`, of 1 to {@link SHORT_TEXT_BYTES} bytes. */
  read(bytes: Buffer, start: number, end: number): string {
    if (this.#rest > 0) {
      this.#rest--;
      return utf8(bytes, start, end);
    }
    const length = end - start;
    const sample = bytes[start]! | (bytes[start + (length >> 1)]! << 8) | (bytes[end - 1]! << 16);
    const slot = ((Math.imul(sample, 0x9e3779b1) >>> 16) + length) & (SLOTS - 1);
    const known = this.#texts[slot]!;
    // One that is not all ASCII has fewer characters than bytes, so it never matches.
    if (known.length === length) {
      let same = 0;
      while (same < length && known.charCodeAt(same) === bytes[start + same]) same++;
      if (same === length) {
        if (this.#patience < PATIENCE) this.#patience++;
        return known;
      }
    }
    if (--this.#patience === 0) {
      this.#patience = PATIENCE;
      this.#rest = REST;
    }
    const text = utf8(bytes, start, end);
    this.#texts[slot] = text;
    return text;
  }
}
