import type { Verdict } from './verify.ts';

/** What a request was told of its record. */
export type Answer = 'acknowledged' | 'unknown' | 'none';

/** Compares what clients were told, by the numbers of their requests, with how often each number is in the topic. */
export function compareAnswers(answers: ReadonlyMap<number, Answer>, seen: ReadonlyMap<number, number>): Verdict {
  const acknowledged = [...answers].filter(([, answer]) => answer === 'acknowledged').map(([id]) => id);
  const lost = acknowledged.filter((id) => !seen.has(id));
  const unknown = [...seen.keys()].filter((id) => answers.get(id) === 'none' || !answers.has(id));
  const outputs = [...seen.values()].reduce((sum, count) => sum + count, 0);
  return {
    records: acknowledged.length,
    outputs,
    lost: lost.length,
    duplicates: outputs - seen.size,
    duplicatesOfWorstSource: outputs - seen.size,
    outOfOrder: 0,
    unknown: unknown.length,
    samples: [
      ...lost.slice(0, 5).map((id) => `lost: ${id}`),
      ...unknown.slice(0, 5).map((id) => `in the topic, and ${answers.get(id) === 'none' ? 'refused' : 'never sent'}: ${id}`),
    ],
  };
}
