import type { JobEvent } from '@fumehood/protocol';

/** What the steps of an attempt wrote, as those who followed it were told. */
export function textOf(events: readonly JobEvent[], attempt: number): string {
  const steps = new Set<number>();
  let text = '';
  for (const event of events) {
    if (event.type === 'entry' && event.entry.attempt === attempt && event.entry.key.startsWith('step.'))
      steps.add(event.entry.entry);
    if (event.type === 'output' && event.attempt === attempt && steps.has(event.entry))
      text += Buffer.from(event.data, 'base64').toString();
  }
  return text;
}
