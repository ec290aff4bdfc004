/** What an exemplar links a value to. */
export interface Exemplar {
  readonly labelSet: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** Seconds since the epoch. */
  readonly timestamp: number;
}

/** One line of a metric. */
export interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** With the suffix that histograms and summaries put behind the metric's name. */
  readonly metricName?: string | undefined;
  readonly exemplar?: Exemplar | null | undefined;
}

/** A metric with its values; what prom-client's `get()` gives has this shape. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly values: readonly Sample[];
}

/** Prometheus's text format, which pushes use, and OpenMetrics, which has exemplars. */
export type MetricsFormat = 'text' | 'openmetrics';

/** Content types of the formats. */
export const contentTypes: Readonly<Record<MetricsFormat, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/**
 * Families as text. Written here rather than by prom-client: its OpenMetrics output renames every counter (also for the next output in
 * the other format), and it can be had only with the registry's own content type.
 */
export function renderFamilies(families: Iterable<MetricFamily>, format: MetricsFormat): string {
  let text = '';
  for (const family of families) text += format === 'openmetrics' ? renderOpenMetrics(family) : render(family, family.name, family.type);
  return format === 'openmetrics' ? `${text}# EOF\n` : text;
}

/**
 * OpenMetrics wants counters to end in `_total`. One that does not keeps its name, so that queries find it however it was scraped, and
 * loses its type.
 */
function renderOpenMetrics(family: MetricFamily): string {
  if (family.type !== 'counter') return render(family, family.name, family.type, true);
  if (!family.name.endsWith('_total')) return render(family, family.name, 'unknown');
  return render(family, family.name.slice(0, -'_total'.length), 'counter', true);
}

function render({ name, help, values }: MetricFamily, familyName: string, type: string, exemplars = false): string {
  let text = `# HELP ${familyName} ${escapeText(help)}\n# TYPE ${familyName} ${type}\n`;
  for (const { labels, value, metricName = name, exemplar } of values) {
    text += `${metricName}${renderLabels(labels)} ${renderNumber(value)}`;
    if (exemplars && exemplar) {
      text += ` # ${renderLabels(exemplar.labelSet) || '{}'} ${renderNumber(exemplar.value)} ${exemplar.timestamp}`;
    }
    text += '\n';
  }
  return text;
}

function renderLabels(labels: Readonly<Record<string, string | number>>): string {
  const parts: string[] = [];
  for (const name of Object.keys(labels)) parts.push(`${name}="${escapeText(String(labels[name])).replaceAll('"', '\\"')}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

function escapeText(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function renderNumber(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}
