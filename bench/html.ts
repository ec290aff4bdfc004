import { drawCharts, PAGE_THEME } from './charts.ts';
import { groupRows, medianOf, ratioToReference, referenceName, referenceOf } from './groups.ts';
import { contestantName, type Row } from './job.ts';
import { describeShape, formatNotes, formatSettings, formatShort, formatWhole } from './report.ts';

const STYLE = `
:root { color-scheme: light dark; --ink: #1f2328; --faint: #d0d7de; --own: #0969da; --other: #8c959f; --paper: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --faint: #3d444d; --own: #4493f8; --other: #7d8590; --paper: #0d1117; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2rem auto; padding: 0 1rem; color: var(--ink); background: var(--paper); }
table { border-collapse: collapse; } th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--faint); text-align: right; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; } .scroll { overflow-x: auto; } svg { max-width: 100%; height: auto; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }`;

/** A page with table, plots and settings of a run, complete in itself. */
export async function htmlReport(rows: readonly Row[]): Promise<string> {
  const charts = await drawCharts(rows, PAGE_THEME);
  const { run } = rows[0] ?? {};
  const versions = Object.entries(run?.versions ?? {}).map(([name, version]) => `${name} ${version}`);
  const plots = charts.map(({ title, svg }) => `<h3>${escapeHtml(title)}</h3>\n${svg}`);
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>rdkafka-toolkit bench</title><style>${STYLE}</style></head>
<body>
<h1>rdkafka-toolkit bench</h1>
<p>${escapeHtml(`${run?.startedAt ?? ''}, ${run?.machine ?? ''}, ${run?.memoryGb ?? ''} GB, ${run?.broker ?? ''} broker`)}<br>${escapeHtml(versions.join(', '))}</p>
<p>Medians over the repeats; ± is half their range. Machines differ: compare the ratios of one run.</p>
<div class="scroll">${table(rows)}</div>
<h2>Plots</h2>
<p>Bars are medians, lines reach from the slowest repeat to the fastest.</p>
${plots.join('\n')}
<h2>Notes</h2>
<pre>${escapeHtml(formatNotes(rows).join('\n') || 'none')}</pre>
<h2>Settings</h2>
<pre>${escapeHtml(formatSettings(rows).join('\n'))}</pre>
</body>
</html>
`;
}

function table(rows: readonly Row[]): string {
  const groups = groupRows(rows);
  const lines = groups.map((group) => {
    const row = group[0]!;
    const rates = group.map(({ recordsPerSecond }) => recordsPerSecond);
    const spread = ((Math.max(...rates) - Math.min(...rates)) / 2 / (medianOf(group, 'recordsPerSecond') ?? 1)) * 100;
    const reference = referenceOf(group, groups)?.[0];
    const cells = [
      describeShape(row),
      contestantName(row),
      formatWhole(row.records),
      formatWhole(medianOf(group, 'recordsPerSecond') ?? Number.NaN),
      `${formatWhole(spread)} %`,
      formatShort(medianOf(group, 'cpuMicrosPerRecord')),
      formatShort(medianOf(group, 'eventLoopUtilization')),
      formatShort(medianOf(group, 'p50Ms')),
      formatShort(medianOf(group, 'p99Ms')),
      formatWhole(medianOf(group, 'rssMb') ?? Number.NaN),
      reference === undefined ? '' : `${ratioToReference(group, groups)?.toFixed(2) ?? ''} ${referenceName(row, reference)}`,
    ];
    return `<tr>${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`;
  });
  const head = ['mode', 'client', 'records', 'records/s', '±', 'CPU µs/record', 'loop busy', 'p50 ms', 'p99 ms', 'RSS MB', '×'];
  return `<table><thead><tr>${head.map((cell) => `<th>${cell}</th>`).join('')}</tr></thead><tbody>${lines.join('\n')}</tbody></table>`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
