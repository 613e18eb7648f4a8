import { FumehoodError } from '@fumehood/base';

/** A template that cannot be read or evaluated. `offset`: where in the template, UTF-16 code units; null: nowhere in particular. */
export function templateInvalid(message: string, offset: number | null): FumehoodError {
  return new FumehoodError({
    status: 400,
    code: 'template_invalid',
    message,
    remedy: 'Correct the template.',
    details: { offset },
  });
}
