import type { Webhook } from '@fumehood/protocol';
import { note } from '../cli/print.ts';
import { minuteOf } from '../cli/table.ts';

/** Returns the URL to which a code host posts deliveries. `used`: the address of the instance that the caller gave, for one that does not know its own. */
export function deliveryUrl({ url, path }: Webhook, used: string | undefined): string {
  if (url !== null) return url;
  if (used !== undefined) return `${used.replace(/\/+$/, '')}${path}`;
  note('INSTANCE stands for its name: `fumehood instance start --url` or `url` in settings.json says it');
  return `https://INSTANCE${path}`;
}

/** Returns what the settings of the code host have to be. */
export const settingsOf = (url: string): string[][] => [
  ['URL', url],
  ['content type', 'application/json'],
  ['events', 'push; for batch changes pull or merge requests, reviews and checks, too'],
];

const did = {
  sync: 'asked for a sync',
  changesets: 'is about changesets, whose states were read',
  ignored: 'changes no branch or tag, and is about no changeset',
} as const;

/** Returns what the last delivery of a webhook was and did, in one line. */
export function deliveryLine({ lastDelivery }: Pick<Webhook, 'lastDelivery'>): string {
  if (lastDelivery === null) return 'none';
  const { receivedAt, sender, event, id, result } = lastDelivery;
  return `${minuteOf(receivedAt)}: ${event} of ${sender}${id === null ? '' : ` (${id})`} ${did[result]}`;
}
