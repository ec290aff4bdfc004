/** What one look found. A warning is nothing that stops a service; `off` is what is not configured, and not looked at. */
export interface Finding {
  readonly name: string;
  readonly status: 'ok' | 'warning' | 'fault' | 'off';
  /** What is there. */
  readonly detail: string;
  /** What to do about it. */
  readonly hint?: string;
}

export function ok(name: string, detail: string): Finding {
  return { name, status: 'ok', detail };
}

export function warning(name: string, detail: string, hint: string): Finding {
  return { name, status: 'warning', detail, hint };
}

export function fault(name: string, detail: string, hint: string): Finding {
  return { name, status: 'fault', detail, hint };
}

export function off(name: string, detail: string): Finding {
  return { name, status: 'off', detail };
}

/** Runs looks; one that throws is a fault by the error's own words. */
export async function look(name: string, find: () => Finding | Promise<Finding>): Promise<Finding> {
  try {
    return await find();
  } catch (error) {
    const { message, code } = error as { message?: string; code?: string };
    return fault(
      name,
      message ?? String(error),
      `The README and binding-notes/errors.md say more${code === undefined ? '' : ` (${code})`}.`,
    );
  }
}
