# The backups: the job that makes them, the archives, and how they were made.
require_relative 'spec_helper'

AHEAD_S = 300 # the node's clock and a file's whole second

def jobs
  pvesh('/cluster/backup').select { |one| one.fetch('enabled', 1).to_i == 1 }
end

def clock
  pvesh("#{NODE}/time")['time']
end

# Each VM's newest archive.
def newest
  archives = pvesh("#{NODE}/storage/#{EXPECTED['backup_storage']}/content --content backup")
  archives.sort_by { |one| one['ctime'] }.to_h { |one| [one['vmid'], one] }
end

# What the log of the last backup says of each VM.
def logs
  since = clock - EXPECTED['backup_max_age_s']
  tasks = pvesh("#{NODE}/tasks --typefilter vzdump --limit 500 --since #{since}").select { |one| one.key?('endtime') }
  tasks.reverse.flat_map do |task|
    text = pvesh("#{NODE}/tasks/#{task['upid']}/log --limit 0").map { |line| line['t'] }.join("\n")
    text.split(/^INFO: Starting Backup of VM (\d+) .*$/).drop(1).each_slice(2).to_a
  end.to_h
end

describe 'The backup job' do
  # clause bootstrap.post-config: backup_job_is_the_declared_one
  it 'is the declared one' do
    job = jobs.find { |one| one['id'] == EXPECTED['backup_job'] }
    expect(job.slice(*EXPECTED['backup_options'].keys).transform_values(&:to_s)).to eq EXPECTED['backup_options']
    expect(job['prune-backups']).to eq EXPECTED['backup_keeps']
    expect(job.slice('all', 'vmid', 'exclude', 'node').values.map(&:to_s) - ['', '0']).to eq []
  end

  # clause backup.scheduled: backup_jobs_write_to_local_storage
  it 'writes to local storage' do
    takers = pvesh("#{NODE}/storage").select do |one|
      one['enabled'].to_i == 1 && EXPECTED['local_types'].include?(one['type']) && one['content'].split(',').include?('backup')
    end
    expect(jobs.map { |one| one['storage'] } - takers.map { |one| one['storage'] }).to eq []
  end

  # clause backup.scheduled: backup_jobs_keep_a_number_of_backups, backup_jobs_run_within_the_limit
  it 'keeps a number of backups' do
    expect(jobs.map { |one| one['prune-backups'].to_h.keys - ['keep-all'] }).to all(satisfy('retention') { |keys| keys.any? })
  end

  it 'runs within the limit' do
    expect(jobs.map { |one| one['next-run'] - clock }).to all(be <= EXPECTED['backup_max_age_s'])
  end
end

EXPECTED['guests'].each do |guest|
  describe "Backups of #{guest['name']}" do
    let(:saved) { pvesh("/cluster/backup/#{EXPECTED['backup_job']}/included_volumes")['children'].find { |one| one['id'].to_i == guest['vmid'] } }
    let(:archive) { newest[guest['vmid']] }
    let(:log) { logs[guest['vmid'].to_s] }

    # clause backup.scheduled: is_in_an_enabled_backup_job, none_of_its_disks_is_left_out
    it 'are made by an enabled job' do
      expect(jobs.map { |one| one['id'] }).to include EXPECTED['backup_job']
      expect(saved).not_to be_nil
    end

    it 'have all its disks' do
      left_out = saved['children'].reject { |disk| disk['included'].to_i == 1 }.map { |disk| disk['id'].split(':').last }
      expect(left_out - guest['ephemeral_disks']).to eq []
    end

    # clause backup.recent: newest_backup_is_young, last_backup_succeeded
    it('are young') { expect(clock - archive['ctime']).to be_between(-AHEAD_S, EXPECTED['backup_max_age_s']) }

    it 'succeeded' do
      expect(log).to include "INFO: Finished Backup of VM #{guest['vmid']} "
      expect(log).not_to include "ERROR: Backup of VM #{guest['vmid']} failed"
    end

    # clause backup.recent: newest_backup_is_not_empty, newest_backup_is_of_this_vm
    it('are not empty') { expect(archive['size']).to be > 0 }

    it 'are of this VM' do
      expect(log).to include archive['volid'].split('/').last
      expect(log).to include "INFO: VM Name: #{guest['name']}\n"
    end
  end
end
