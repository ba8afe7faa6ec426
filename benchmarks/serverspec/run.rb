# One rspec process per host, all at once; then what only all hosts together can show.
require 'json'
require 'open3'

here = __dir__
expected = JSON.parse(File.read(ENV.fetch('EXPECTED')))
specs = { expected['node'] => 'hypervisor_spec.rb', expected['router']['name'] => 'router_spec.rb' }
expected['guests'].each { |guest| specs[guest['name']] = 'guest_spec.rb' }

threads = specs.map do |host, spec|
  Thread.new { Open3.capture2e({ 'TARGET_HOST' => host }, 'rspec', File.join(here, spec)) }
end
ended = threads.map(&:value)
puts(ended.map(&:first))
identities = Dir[File.join(ENV.fetch('SEEN'), '*')].flat_map { |path| File.read(path).split }
exit(ended.all? { |_, status| status.success? } && identities.uniq == identities)
