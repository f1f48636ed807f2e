# Says what a template does that Foreman's safe mode refuses. Safe mode parses the Ruby between <% and %>, lets through a
# fixed set of constructs, and asks a list for every method that is called. The lists here are the part of those that
# the templates use: a method that is not here may exist in safe mode, and has to be looked up there before it is added.
#
# Arguments: template files. Stdout: one complaint a line. Exit status 1 where there is one.

require 'ripper'

# Of strings, arrays, hashes, nil and numbers.
CORE = %w[to_s split delete empty? size start_with? include? chomp join map each slice uniq tr downcase nil? to_a
          ! != == + - << > []].freeze
HELPERS = %w[snippet host_param host_param_true? foreman_url].freeze
HOST = %w[name facts_hash].freeze
REFUSED = {
  def: 'a method', defs: 'a method', class: 'a class', sclass: 'a class', module: 'a module', lambda: 'a lambda',
  begin: 'begin', rescue: 'rescue', rescue_mod: 'rescue', ensure: 'ensure', return: 'return', return0: 'return',
  defined: 'defined?', super: 'super', zsuper: 'super', xstring_literal: 'a command', alias: 'alias', undef: 'undef',
  opassign: 'an assignment with an operator', aref_field: 'an assignment to an element', field: 'an assignment to an attribute',
  top_const_ref: 'a constant', const_path_ref: 'a constant', regexp_literal: 'a regular expression', retry: 'retry', redo: 'redo',
  BEGIN: 'BEGIN', END: 'END'
}.freeze
TOKENS = { :@const => 'a constant', :@gvar => 'a global variable', :@cvar => 'a class variable', :@backref => 'a back-reference' }.freeze

def code_of(text)
  text.scan(/<%(?!#)([-=]?)(.*?)-?%>/m).map { |mark, code| mark == '=' ? "(#{code})" : code }.join("\n")
end

def method_name(node)
  node.is_a?(Array) && [:@ident, :@op, :@kw, :@const].include?(node[0]) ? node[1] : nil
end

def walk(node, found)
  return unless node.is_a?(Array)
  kind = node[0]
  found << REFUSED[kind] if kind.is_a?(Symbol) && REFUSED.key?(kind)
  found << "#{TOKENS[kind]} #{node[1]}" if kind.is_a?(Symbol) && TOKENS.key?(kind)
  case kind
  when :call
    allowed = node[1] == [:var_ref, [:@ivar, '@host', node.dig(1, 1, 2)]] ? HOST : CORE
    found << "the method #{method_name(node[3])}" unless allowed.include?(method_name(node[3]))
    found << 'the operator &.' if method_name(node[2]) == '&.'
  when :fcall, :vcall, :command
    found << "the helper #{method_name(node[1])}" unless HELPERS.include?(method_name(node[1]))
  when :command_call
    found << "the method #{method_name(node[3])}"
  when :binary
    found << "the operator #{node[2]}" unless CORE.include?(node[2].to_s) || %i[&& ||].include?(node[2])
  when :unary
    found << "the operator #{node[1]}" unless %i[! -@].include?(node[1])
  when :assign, :massign
    found << 'an assignment to an instance variable' if node[1].flatten.include?(:@ivar)
  when :args_add_block
    found << 'a block that is passed on' if node[2]
  end
  node.each { |child| walk(child, found) }
end

complaints = ARGV.flat_map do |path|
  tree = Ripper.sexp(code_of(File.read(path, encoding: 'utf-8')))
  next ["#{path}: is not Ruby"] unless tree
  found = []
  walk(tree, found)
  found.uniq.map { |what| "#{path}: #{what}" }
end
puts complaints
exit 1 unless complaints.empty?
