import { median, type Sample } from './measure.ts';
import type { Outcome, Scenario } from './scenarios/scenario.ts';

/** Formats a figure for a table: three digits, or all digits before the point; truncated, never rounded up. */
export function formatFigure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return (Math.trunc(value * 10 ** digits) / 10 ** digits).toFixed(digits);
}

const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;

/** Returns a table with the median of all rounds by contender and metric, and the medians of the ratios between ours and each other contender. */
export function table(scenario: Scenario, { samples, notes }: Outcome): string {
  const metrics = [...new Set(samples.map((sample) => sample.metric))];
  const compared = notes.size > 0;
  const contenders = compared ? [...notes.keys()] : [...new Set(samples.map((sample) => sample.contender))];
  const [ours, ...others] = contenders as [string, ...string[]];
  const rounds = (contender: string, metric: string) =>
    samples.filter((s) => s.contender === contender && s.metric === metric).map((s) => s.value);
  const figure = (contender: string, metric: string) => median(rounds(contender, metric));
  const ratio = (other: string, metric: string) => {
    const theirs = rounds(other, metric);
    return median(rounds(ours, metric).map((value, round) => value / (theirs[round] as number)));
  };
  return [
    `### ${scenario.name}: ${scenario.title}`,
    '',
    line(['', ...metrics]),
    line(['---', ...metrics.map(() => '---:')]),
    ...contenders.map((name) => line([name, ...metrics.map((metric) => formatFigure(figure(name, metric)))])),
    ...(compared ? others : []).map((name) =>
      line([`**ours ÷ ${name}**`, ...metrics.map((metric) => formatFigure(ratio(name, metric)))]),
    ),
    '',
    ...(compared
      ? [
          `A ratio ${scenario.lessIsBetter ? 'below' : 'above'} 1: ours is better. Spread of the rounds: ${spread(samples)}.`,
        ]
      : []),
    ...[...notes].map(([name, note]) => `- ${name}: ${note}`),
    '',
  ].join('\n');
}

/** Returns how far rounds are from their median. */
function spread(samples: readonly Sample[]): string {
  const groups = Map.groupBy(samples, (sample) => `${sample.contender}\n${sample.metric}`);
  const distances = [...groups.values()].map((group) => {
    const values = group.map((sample) => sample.value);
    return Math.max(...values.map((value) => Math.abs(value / median(values) - 1)));
  });
  return `half within ±${formatFigure(median(distances) * 100)} %, all within ±${formatFigure(Math.max(...distances) * 100)} %`;
}
