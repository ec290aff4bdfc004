import { Argument, type Command } from 'commander';
import { printLine } from './terminal.ts';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

interface Entry {
  readonly name: string;
  readonly description: string;
  readonly options: readonly string[];
}

/** Adds `completions`: a script that makes a shell complete commands and options. */
export function register(program: Command): void {
  program
    .command('completions')
    .description("Prints a shell's completion script: source <(rdkafka-toolkit completions bash).")
    .addArgument(new Argument('<shell>').choices(shells))
    .action((shell: Shell) => {
      printLine(scripts[shell](program.name(), entriesOf(program)));
    });
}

/** Commands, and those below them as `topics list`. */
function entriesOf(program: Command): Entry[] {
  return program.commands.flatMap((command) => [
    entryOf(command.name(), command),
    ...command.commands.map((sub) => entryOf(`${command.name()} ${sub.name()}`, sub)),
  ]);
}

function entryOf(name: string, command: Command): Entry {
  const options = command.options.map(({ long }) => long).filter((long) => long !== undefined && long !== null);
  return { name, description: command.description().split(/[.:(]/, 1)[0]!.replaceAll(/['"]/g, ''), options: [...options, '--help'] };
}

const top = (entries: readonly Entry[]): Entry[] => entries.filter(({ name }) => !name.includes(' '));
const below = (entries: readonly Entry[], parent: string): string[] =>
  entries.filter(({ name }) => name.startsWith(`${parent} `)).map(({ name }) => name.slice(parent.length + 1));

/** The words that may follow a command: those below it and its options. */
function wordsAfter(entries: readonly Entry[], { name, options }: Entry): string {
  return [...below(entries, name), ...options].join(' ');
}

const scripts: Readonly<Record<Shell, (program: string, entries: readonly Entry[]) => string>> = {
  bash: (program, entries) => `_rdkafka_toolkit() {
  local word=\${COMP_WORDS[COMP_CWORD]} words
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${top(entries)
      .map(({ name }) => name)
      .join(' ')} --help --version"
  else
    case "\${COMP_WORDS[1]} \${COMP_WORDS[2]}" in
${[...entries]
  .sort((a, b) => b.name.length - a.name.length)
  .map((entry) => `      '${entry.name}'*) words="${wordsAfter(entries, entry)}" ;;`)
  .join('\n')}
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _rdkafka_toolkit ${program}`,
  zsh: (program, entries) => `#compdef ${program}
_rdkafka_toolkit() {
  if (( CURRENT == 2 )); then
    local -a commands=(
${top(entries)
  .map(({ name, description }) => `      '${name}:${description}'`)
  .join('\n')}
    )
    _describe command commands
    return
  fi
  case "$words[2] $words[3]" in
${[...entries]
  .sort((a, b) => b.name.length - a.name.length)
  .map((entry) => `    '${entry.name}'*) compadd -- ${wordsAfter(entries, entry)} ;;`)
  .join('\n')}
  esac
  _files
}
compdef _rdkafka_toolkit ${program}`,
  fish: (program, entries) =>
    [
      ...top(entries).map(({ name, description }) => `complete -c ${program} -n __fish_use_subcommand -f -a ${name} -d '${description}'`),
      ...top(entries).flatMap(({ name, options }) => [
        ...below(entries, name).map((sub) => `complete -c ${program} -n '__fish_seen_subcommand_from ${name}' -f -a ${sub}`),
        ...options.map((option) => `complete -c ${program} -n '__fish_seen_subcommand_from ${name}' -l ${option.slice(2)}`),
      ]),
    ].join('\n'),
};
