import { Error as ERRORS_ONLY, logger, parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { figuresOf, type Group, groupRows, medianOf } from './groups.ts';
import { contestantName, type Row } from './job.ts';
import { hasRate } from './modes.ts';
import { describeShape } from './report.ts';

/** Colours of a plot. */
export interface Theme {
  readonly ink: string;
  readonly faint: string;
  readonly own: string;
  readonly other: string;
  readonly background: string | null;
}

/** Colours that a page decides, so that a plot is readable in light and dark. vega parses colours: stand-ins are put in and replaced. */
export const PAGE_THEME: Theme = { ink: '#010203', faint: '#010204', own: '#010205', other: '#010206', background: null };
const PAGE_VARIABLES: readonly (readonly [RegExp, string])[] = [
  [/#010203/g, 'var(--ink)'],
  [/#010204/g, 'var(--faint)'],
  [/#010205/g, 'var(--own)'],
  [/#010206/g, 'var(--other)'],
];

/** For a picture of its own, on white. */
export const PICTURE_THEME: Theme = { ink: '#1f2328', faint: '#d0d7de', own: '#0969da', other: '#8c959f', background: '#ffffff' };

/** A plot as SVG text, with a title. */
export interface Chart {
  readonly title: string;
  readonly svg: string;
}

interface Bar {
  readonly client: string;
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly own: boolean;
}

/** Throughput, a plot for each mode and shape; then latencies, and how throughput grows where one thing was varied. */
export async function drawCharts(rows: readonly Row[], theme: Theme): Promise<Chart[]> {
  const byShape = new Map<string, Group[]>();
  for (const group of groupRows(rows)) {
    const shape = describeShape(group[0]!);
    byShape.set(shape, [...(byShape.get(shape) ?? []), group]);
  }
  const charts: Chart[] = [];
  for (const [shape, groups] of byShape) {
    const isTimed = hasRate(groups[0]![0]!.mode);
    const label = isTimed ? 'p99, milliseconds' : 'records a second';
    const bars = barsOf(groups, isTimed ? 'p99Ms' : 'recordsPerSecond');
    if (bars.length > 0) charts.push({ title: `${shape}: ${label}`, svg: await draw(barSpec(bars, label), theme) });
  }
  for (const [varied, label] of VARIED) {
    const points = rows.filter(({ mode }) => !hasRate(mode)).map((row) => pointOf(row, varied));
    if (new Set(points.map(({ x }) => x)).size < 2) continue;
    charts.push({ title: `records a second by ${label}`, svg: await draw(lineSpec(points, label), theme) });
  }
  return charts;
}

/** Throughput of every mode in one picture. */
export function drawOverview(rows: readonly Row[], theme: Theme): Promise<string> {
  const groups = groupRows(rows).filter(([row]) => !hasRate(row!.mode));
  const isVaried = new Set(groups.map(([row]) => describeShape(row!))).size > new Set(groups.map(([row]) => row!.mode)).size;
  const bars = groups.map((group) => ({
    mode: isVaried ? describeShape(group[0]!) : group[0]!.mode,
    ...barOf(group, 'recordsPerSecond'),
  }));
  const spec: Readonly<Record<string, unknown>> = {
    data: { values: bars },
    facet: { row: { field: 'mode', title: null, sort: null, header: { labelAngle: 0, labelAlign: 'left', labelFontWeight: 'bold' } } },
    resolve: { scale: { x: 'independent', y: 'independent' } },
    spec: { width: 460, ...barLayers('records a second') },
  };
  return draw(spec, theme);
}

const VARIED: readonly (readonly ['records' | 'recordBytes' | 'partitions', string])[] = [
  ['records', 'records of a run'],
  ['recordBytes', 'bytes of a record'],
  ['partitions', 'partitions'],
];

function barsOf(groups: readonly Group[], figure: 'recordsPerSecond' | 'p99Ms'): Bar[] {
  return groups.filter((group) => medianOf(group, figure) !== undefined).map((group) => barOf(group, figure));
}

function barOf(group: Group, figure: 'recordsPerSecond' | 'p99Ms'): Bar {
  const values = figuresOf(group, figure);
  const client = contestantName(group[0]!);
  const own = client.startsWith('rdkafka-toolkit');
  return { client, median: medianOf(group, figure) ?? Number.NaN, low: Math.min(...values), high: Math.max(...values), own };
}

function pointOf(row: Row, varied: 'records' | 'recordBytes' | 'partitions') {
  return { x: row[varied], line: `${row.mode}, ${contestantName(row)}`, recordsPerSecond: row.recordsPerSecond };
}

const COLOUR = { field: 'own', type: 'nominal', scale: { domain: [true, false], range: ['own', 'other'] }, legend: null };

/** A bar for the median, a line from the slowest repeat to the fastest. */
function barLayers(label: string): Readonly<Record<string, unknown>> {
  return {
    encoding: { y: { field: 'client', type: 'nominal', title: null, sort: null } },
    layer: [
      { mark: { type: 'bar' }, encoding: { x: { field: 'median', type: 'quantitative', title: label }, color: COLOUR } },
      { mark: { type: 'rule' }, encoding: { x: { field: 'low', type: 'quantitative' }, x2: { field: 'high' } } },
    ],
  };
}

function barSpec(bars: readonly Bar[], label: string): Readonly<Record<string, unknown>> {
  return { width: 460, data: { values: bars }, ...barLayers(label) };
}

function lineSpec(points: readonly object[], label: string): Readonly<Record<string, unknown>> {
  return {
    width: 460,
    height: 260,
    data: { values: points },
    mark: { type: 'line', point: true },
    encoding: {
      x: { field: 'x', type: 'quantitative', title: label, scale: { type: 'log' } },
      y: { field: 'recordsPerSecond', aggregate: 'median', type: 'quantitative', title: 'records a second' },
      color: { field: 'line', type: 'nominal', title: null },
      strokeDash: { field: 'line', type: 'nominal', title: null },
    },
  };
}

async function draw(spec: Readonly<Record<string, unknown>>, theme: Theme): Promise<string> {
  const { ink, faint, own, other, background } = theme;
  const config = {
    background,
    font: 'DejaVu Sans, system-ui, sans-serif',
    view: { stroke: null },
    axis: { labelColor: ink, titleColor: ink, domainColor: faint, tickColor: faint, gridColor: faint, labelLimit: 260 },
    header: { labelColor: ink, titleColor: ink },
    legend: { labelColor: ink, titleColor: ink, labelLimit: 320 },
    rule: { color: ink },
  };
  const text = JSON.stringify(spec).replaceAll('"own","other"', JSON.stringify([own, other]).slice(1, -1));
  const full = { $schema: 'https://vega.github.io/schema/vega-lite/v6.json', ...JSON.parse(text), config } as TopLevelSpec;
  const view = new View(parse(compile(full, { logger: logger(ERRORS_ONLY) }).spec), { renderer: 'none' });
  try {
    const svg = await view.toSVG();
    return theme === PAGE_THEME ? PAGE_VARIABLES.reduce((made, [stand, name]) => made.replace(stand, name), svg) : svg;
  } finally {
    view.finalize();
  }
}
