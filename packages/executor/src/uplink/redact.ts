/**
 * Puts for each literal in `values` what stands for it; the longest first where several begin at one place. It finds what is
 * written by accident: not what a step encodes, nor what spans lines.
 */
export function redactor(values: Readonly<Record<string, string>> | null): (text: string) => string {
  const literals = Object.keys(values ?? {})
    .filter((literal) => literal !== '')
    .toSorted((a, b) => b.length - a.length);
  if (!values || literals.length === 0) return (text) => text;
  const pattern = new RegExp(literals.map(escaped).join('|'), 'g');
  return (text) => text.replace(pattern, (literal) => values[literal] ?? '');
}

function escaped(literal: string): string {
  return literal.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
}
