# Renders a template as Foreman would: Ruby's own ERB with Foreman's trim mode, and a stand-in for the few helpers that the
# templates call. What it answers follows a recorded Foreman: an absent parameter is empty, ERB in a value is evaluated,
# a json parameter is a Ruby hash, and a method that the host's jail does not know is an error.
#
# Stdin: a list of {"template": path, or {"text": ...}, "snippets": {name: path},
# "host": {"name", "mac", "token", "facts", "parameters"}}. Stdout: a list of {"text": ...}, or {"error": ...}.

require 'erb'
require 'json'

# The host as safe mode shows it to a template.
class Host
  attr_reader :name, :mac

  def initialize(given)
    @name = given['name']
    @mac = given['mac']
    @facts = given['facts'] || {}
  end

  def facts_hash
    @facts
  end

  def method_missing(name, *)
    raise NoMethodError, "undefined method '##{name}' for Host::Managed::Jail (Host::Managed)"
  end

  def respond_to_missing?(*)
    false
  end
end

# What a template can call; a snippet gets one of its own, with its variables.
class Scope
  def initialize(given, variables = {})
    @given = given
    @host = Host.new(given['host'])
    variables.each { |name, value| instance_variable_set("@#{name}", value) }
  end

  def render(text)
    ERB.new(text, trim_mode: '-').result(binding)
  end

  def snippet(name, options = {}, variables: {})
    path = @given['snippets'][name]
    raise "The specified snippet '#{name}' does not exist, or is not a snippet." unless path
    Scope.new(@given, variables.merge(options[:variables] || {})).render(File.read(path, encoding: 'utf-8'))
  end

  def host_param(name, default = nil)
    value = parameters[name]
    value = render(value) if value.is_a?(String) && value.include?('<%')
    value || default
  end

  def host_param!(name)
    raise "Parameter #{name} is not set for host #{@host.name}" unless parameters.key?(name)
    host_param(name)
  end

  def host_param_true?(name, default = false)
    return default unless parameters.key?(name)
    ['true', 't', 'yes', 'y', 'on', '1'].include?(parameters[name].to_s.downcase)
  end

  def foreman_url(action = 'built')
    token = @given['host']['token']
    "http://foreman.example.com/unattended/#{action}" + (token ? "?token=#{token}" : '')
  end

  private

  def parameters
    @given['host']['parameters'] || {}
  end
end

def render(given)
  template = given['template']
  text = template.is_a?(Hash) ? template['text'] : File.read(template, encoding: 'utf-8')
  { 'text' => Scope.new(given).render(text) }
rescue StandardError, SyntaxError => e
  { 'error' => e.message.lines.first.chomp }
end

$stdout.write(JSON.generate(JSON.parse($stdin.read).map { |given| render(given) }))
