import * as z from 'zod';

const units = ['', 'k', 'm', 'g', 't', 'p', 'e'] as const;

/** A size as people write it: `12G`, `512 MB`, `12GiB`, `1024`. Units are powers of 1024. The output is in bytes; null for `''`. */
export const byteSizeSchema = z.string().transform((text, context): number | null => {
  if (text.trim() === '') return null;
  const [, digits = '', letter = ''] = /^\s*(\d{1,15})\s*([kmgtpe]?)(?:i?b)?\s*$/i.exec(text) ?? [];
  const bytes = Number(digits) * 1024 ** units.findIndex((unit) => unit === letter.toLowerCase());
  if (digits !== '' && Number.isSafeInteger(bytes)) return bytes;
  context.addIssue({ code: 'custom', message: 'must be a size, such as 12G or 512 MB' });
  return z.NEVER;
});
