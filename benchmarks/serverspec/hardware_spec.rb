# The machine below the hypervisor.
require_relative 'spec_helper'

wanted = EXPECTED['hardware']

describe 'The machine' do
  let(:status) { pvesh("#{NODE}/status") }
  let(:cpu) { command('lscpu').stdout.lines.to_h { |line| line.split(':', 2).map(&:strip) } }

  # clause platform.virtualization: processor_offers_virtualization, kvm_can_be_opened, api_sees_virtualization
  it 'offers virtualization' do
    waivable('platform.virtualization') { expect(cpu['Flags'].split & %w[vmx svm]).not_to be_empty }
  end

  it 'has a KVM that can be opened' do
    waivable('platform.virtualization') { expect(command('test -c /dev/kvm && : <>/dev/kvm').exit_status).to eq 0 }
  end

  it 'offers virtualization by the API' do
    waivable('platform.virtualization') { expect(status['cpuinfo']['hvm'].to_s).to eq '1' }
  end

  # clause hardware.memory: kernel_has_the_declared_memory, api_sees_the_declared_memory
  it 'has the declared memory' do
    seen = command('grep MemTotal: /proc/meminfo').stdout.split[1].to_i * 1024
    waivable('hardware.memory') { expect(seen).to be >= wanted['memory_bytes'] }
  end

  it 'has the declared memory by the API' do
    waivable('hardware.memory') { expect(status['memory']['total']).to be >= wanted['memory_bytes'] }
  end

  # clause hardware.disk: host_has_the_declared_disk, api_sees_the_declared_disk
  it 'has the declared disk' do
    disks = JSON.parse(command('lsblk -J -b -d -o NAME,TYPE,SIZE,ROTA').stdout)['blockdevices']
    fit = disks.select { |one| one['type'] == 'disk' && one['size'] >= wanted['disk_bytes'] }
    fit.reject! { |one| one['rota'] && wanted['solid_state'] }
    waivable('hardware.disk') { expect(fit).not_to be_empty }
  end

  it 'has the declared disk by the API' do
    fit = pvesh("#{NODE}/disks/list").select { |one| one['size'] >= wanted['disk_bytes'] }
    fit.select! { |one| %w[ssd nvme].include?(one['type']) || !wanted['solid_state'] }
    waivable('hardware.disk') { expect(fit).not_to be_empty }
  end

  # clause hardware.nic: a_link_is_up_at_the_declared_speed
  it 'has a link at the declared speed' do
    speeds = command('grep -H . /sys/class/net/*/device/net/*/speed').stdout.scan(%r{^/sys/class/net/([^/]+)/.*:(-?\d+)$})
    fast = speeds.select { |_, speed| speed.to_i >= wanted['nic_speed'] }.map(&:first)
    up = fast.select { |name| file("/sys/class/net/#{name}/operstate").content.strip == 'up' }
    waivable('hardware.nic') do
      expect(up).not_to be_empty
      expect(command('lspci').stdout).to include wanted['nic_model']
    end
  end

  # clause hardware.model: is_the_declared_product, has_the_declared_processor, has_the_declared_cores_and_threads
  it 'is the declared product' do
    seen = command('cat /sys/class/dmi/id/product_name').stdout
    waivable('hardware.model') { expect(seen).to include(wanted['product'] || 'a product that is declared') }
  end

  it 'has the declared processor' do
    waivable('hardware.model') { expect(cpu['Model name']).to include(wanted['cpu_model'] || 'a processor that is declared') }
  end

  it 'has the declared cores and threads' do
    seen = [cpu['Core(s) per socket'].to_i * cpu['Socket(s)'].to_i, cpu['CPU(s)'].to_i]
    waivable('hardware.model') { expect(seen).to eq wanted.values_at('cores', 'threads') }
  end
end
