import * as z from 'zod';

const dayNames = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] as const;

/** Minutes of a day; `24:00` is its end. */
const timeSchema = z.string().regex(/^(?:(?:[01]\d|2[0-3]):[0-5]\d|24:00)$/, 'must be a time such as 09:30');

/** How much the instance may do on code hosts: as much as there is, nothing, or so many changes of changesets in each of these times. */
export const rolloutRateSchema = z.union(
  [
    z.literal('unlimited'),
    z.literal(0),
    z
      .string()
      .regex(/^[1-9]\d{0,5}\/(?:second|minute|hour)$/, 'must be a number and a unit, such as 10/hour'),
  ],
  'must be unlimited, 0, or a number and a unit, such as 10/hour',
);

/** A time in which a rate counts. Days and times are those of UTC. */
export const rolloutWindowSchema = z
  .strictObject({
    rate: rolloutRateSchema,
    /** Missing or empty: all days. */
    days: z.array(z.enum(dayNames)).max(7).default([]),
    /** Missing: the whole day. The end does not belong to the window. */
    start: timeSchema.optional(),
    end: timeSchema.optional(),
  })
  .refine(({ start, end }) => (start === undefined) === (end === undefined), 'start and end go together')
  .refine(
    ({ start, end }) => start === undefined || end === undefined || start < end,
    'must start before it ends: a window over midnight is two of them',
  );
export type RolloutWindow = z.infer<typeof rolloutWindowSchema>;

/** `PUT /api/batch-rollout`: 200 with what is set, in place of earlier settings. `DELETE`: 204. */
export const setRolloutSchema = z.strictObject({
  /** Of several windows for a time the last one counts, and nothing is done outside of all of them. Null: there is no limit. */
  windows: z.array(rolloutWindowSchema).max(100).nullable(),
});
export type SetRollout = z.input<typeof setRolloutSchema>;

/** `GET /api/batch-rollout`. */
export const rolloutSchema = setRolloutSchema.extend({ setBy: z.string(), setAt: z.string() });
export type Rollout = z.infer<typeof rolloutSchema>;
