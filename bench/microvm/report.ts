import { median, percentile } from '../queue/measure.ts';
import { formatFigure } from '../queue/report.ts';

/** Figures of one thing that was measured several times. */
interface Row {
  readonly what: string;
  readonly unit: 'ms' | 'MB PSS';
  readonly values: readonly number[];
}

/** Collects figures, and shows them as a table with the ratio of each time to that of `docker run`. */
export class Report {
  private readonly rows: (Row | string)[] = [];
  private docker: readonly number[] = [];

  add(what: string, values: readonly number[], unit: Row['unit'] = 'ms'): void {
    this.rows.push({ what, values, unit });
  }

  /** Adds the times of `docker run`, which the other times are divided by. */
  addDocker(what: string, values: readonly number[]): void {
    this.docker = values;
    this.add(what, values);
  }

  /** Adds a line that says why there is no figure. */
  addAbsent(what: string): void {
    this.rows.push(what);
  }

  table(): string {
    const cells = ['', 'median', 'p95', 'p99', 'least – most', '', '÷ docker run'];
    return [
      `| ${cells.join(' | ')} |`,
      '| --- | ---: | ---: | ---: | ---: | --- | ---: |',
      ...this.rows.map(
        (row) =>
          `| ${(typeof row === 'string' ? [row, '', '', '', '', '', ''] : this.cells(row)).join(' | ')} |`,
      ),
      '',
    ].join('\n');
  }

  private cells({ what, unit, values }: Row): string[] {
    const at = (share: number) => formatFigure(percentile(values, share));
    const ratio = unit === 'ms' && this.docker.length > 0 ? median(values) / median(this.docker) : Number.NaN;
    return [what, at(0.5), at(0.95), at(0.99), `${at(0)} – ${at(1)}`, unit, formatFigure(ratio)];
  }
}
