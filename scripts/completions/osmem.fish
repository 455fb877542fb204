# SPDX-License-Identifier: MIT
# fish: verbs and options as `osmem --help` and `osmem VERB --help` list them; processes on osmem, commands and files.
function __osmem_verbs
  osmem --help | string replace -rf '^    ([a-z]+) +(.*)' '$1\t$2'
end
function __osmem_options
  set -l verb (commandline -opc)[2]
  osmem $verb --help 2>/dev/null | string replace -rf '^ {2,4}(-.*)' '$1' | string replace -r '  .*' '' | string match -ra -- '(?<![\w-])--?[a-z][a-z-]*'
end
function __osmem_processes
  grep -ls /libosmem.so /proc/*/maps 2>/dev/null | string match -rg '^/proc/(\d+)/'
end
complete -c osmem -n __fish_use_subcommand -f -a '(__osmem_verbs)'
complete -c osmem -n 'not __fish_use_subcommand; and string match -q -- "-*" (commandline -ct)' -f -a '(__osmem_options)'
complete -c osmem -n '__fish_seen_subcommand_from verify stats top watch map leaks profile explain' -a '(__osmem_processes)'
complete -c osmem -n '__fish_seen_subcommand_from run record leaks profile' -a '(__fish_complete_command)'
