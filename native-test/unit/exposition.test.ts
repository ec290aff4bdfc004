import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type MetricFamily, renderFamilies } from '../../src/metrics/exposition.ts';
import { PlainHistogram } from '../../src/metrics/plain-histogram.ts';

const counter = (name: string): MetricFamily => ({ name, type: 'counter', help: 'Help.', values: [{ labels: { a: 'b' }, value: 3 }] });

describe('the text of metrics', () => {
  test('has help, type and values, with labels escaped', () => {
    const family: MetricFamily = {
      name: 'm',
      type: 'gauge',
      help: 'a \\ and\na line',
      values: [
        { labels: {}, value: 1.5 },
        { labels: { l: 'a"b\\c\nd', n: 7 }, value: Number.POSITIVE_INFINITY },
        { labels: { l: '' }, value: Number.NaN },
        { labels: { l: 'x' }, value: Number.NEGATIVE_INFINITY },
      ],
    };
    assert.equal(
      renderFamilies([family], 'text'),
      '# HELP m a \\\\ and\\na line\n# TYPE m gauge\nm 1.5\nm{l="a\\"b\\\\c\\nd",n="7"} +Inf\nm{l=""} NaN\nm{l="x"} -Inf\n',
    );
  });

  test('names counters in both formats as they are called', () => {
    const families = [counter('plain'), counter('suffixed_total')];
    const text = renderFamilies(families, 'text');
    assert.match(text, /^# TYPE plain counter\nplain\{a="b"\} 3$/m);
    assert.match(text, /^# TYPE suffixed_total counter\nsuffixed_total\{a="b"\} 3$/m);
    const open = renderFamilies(families, 'openmetrics');
    assert.match(open, /^# TYPE plain unknown\nplain\{a="b"\} 3$/m);
    assert.match(open, /^# TYPE suffixed counter\nsuffixed_total\{a="b"\} 3$/m);
    assert.match(open, /\n# EOF\n$/);
  });

  test('of a histogram counts upwards and shows exemplars in OpenMetrics only', () => {
    const histogram = new PlainHistogram([1, 10]);
    histogram.observe(0.5);
    histogram.observe(1);
    histogram.observe(5, { trace_id: 'abc' });
    histogram.observe(100);
    const family: MetricFamily = { name: 'h', type: 'histogram', help: 'Help.', values: histogram.samples('h', { app: 'a' }) };
    const text = renderFamilies([family], 'text');
    assert.equal(
      text,
      '# HELP h Help.\n# TYPE h histogram\nh_bucket{app="a",le="1"} 2\nh_bucket{app="a",le="10"} 3\nh_bucket{app="a",le="+Inf"} 4\n' +
        'h_sum{app="a"} 106.5\nh_count{app="a"} 4\n',
    );
    assert.match(renderFamilies([family], 'openmetrics'), /^h_bucket\{app="a",le="10"\} 3 # \{trace_id="abc"\} 5 \d+\.?\d*$/m);
  });
});
