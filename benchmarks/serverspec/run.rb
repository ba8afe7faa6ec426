# One rspec process per host, all at once; then what only all hosts together can show.
require 'json'
require 'open3'

here = __dir__
expected = JSON.parse(File.read(ENV.fetch('EXPECTED')))
specs = {
  expected['hypervisor'] => %w[hypervisor_spec.rb hardware_spec.rb datacenter_spec.rb vms_spec.rb backups_spec.rb],
  expected['router']['name'] => %w[router_spec.rb inventory_spec.rb]
}
expected['guests'].each { |guest| specs[guest['name']] = %w[guest_spec.rb] }

threads = specs.map do |host, files|
  Thread.new { Open3.capture2e({ 'TARGET_HOST' => host }, 'rspec', *files.map { |file| File.join(here, file) }) }
end
ended = threads.map(&:value)
puts(ended.map(&:first))
identities = Dir[File.join(ENV.fetch('SEEN'), '*')].flat_map { |path| File.read(path).split }
exit(ended.all? { |_, status| status.success? } && identities.uniq == identities)
